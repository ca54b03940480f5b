use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, chown},
        process::CommandExt,
    },
    path::Path,
    process::Command,
};

use crate::error::{During, TestbedError};

/// A system account, by number. MariaDB and PostgreSQL do not run as root, so a root test hands them to theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Account {
    uid: u32,
    gid: u32,
}

impl Account {
    /// The account a server must run as: `None` means "as whoever runs the tests", which is so unless that is root.
    ///
    /// # Errors
    /// [`TestbedError::MissingAccount`] when the tests run as root and the account does not exist.
    pub(crate) fn for_server(
        account: &'static str,
        package: &'static str,
    ) -> Result<Option<Account>, TestbedError> {
        if own_uid()? != 0 {
            return Ok(None);
        }
        let passwd = Path::new("/etc/passwd");
        let text = fs::read_to_string(passwd).on("read", passwd)?;
        match parse(&text, account) {
            Some(found) => Ok(Some(found)),
            None => Err(TestbedError::MissingAccount { account, package }),
        }
    }
}

/// The user number of this process.
pub(crate) fn own_uid() -> Result<u32, TestbedError> {
    // A new file belongs to whoever makes it: the one way to ask without unsafe code or a new dependency.
    let probe = tempfile::tempfile().during("create a temporary file")?;
    Ok(probe.metadata().during("look at a temporary file")?.uid())
}

/// Gives `path` to the account; with none, leaves it to its owner.
pub(crate) fn hand_over(path: &Path, account: Option<Account>) -> Result<(), TestbedError> {
    match account {
        Some(Account { uid, gid }) => {
            chown(path, Some(uid), Some(gid)).on("change the owner of", path)
        }
        None => Ok(()),
    }
}

/// Makes the command run as the account; with none, as this process does.
pub(crate) fn run_as(command: &mut Command, account: Option<Account>) {
    if let Some(Account { uid, gid }) = account {
        command.uid(uid).gid(gid);
    }
}

fn parse(passwd: &str, account: &str) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != account {
            return None;
        }
        let mut numbers = fields.skip(1).map(str::parse);
        let uid = numbers.next()?.ok()?;
        let gid = numbers.next()?.ok()?;
        Some(Account { uid, gid })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_found_by_their_whole_name() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nmysqlish:x:7:8::/:/bin/sh\nmysql:x:102:105:a,b:/:/bin/false\n";
        assert_eq!(parse(passwd, "mysql"), Some(Account { uid: 102, gid: 105 }));
        assert_eq!(parse(passwd, "postgres"), None);
        assert_eq!(parse("mysql:x:many:105", "mysql"), None);
    }
}
