use std::{
    ffi::OsString,
    io,
    path::Path,
    process::{Child, Command},
    sync::{
        OnceLock,
        mpsc::{self, Sender},
    },
    thread,
};

use crate::program::find_optional;

type Order = (Command, Sender<io::Result<Child>>);

/// The thread that starts every server, and never ends before the process does.
static LAUNCHER: OnceLock<Sender<Order>> = OnceLock::new();

/// A command that the kernel kills with SIGKILL when this process ends, however it ends, provided [`launch`] starts it.
///
/// `setpriv` (util-linux) asks for that and then becomes the program, under the same process number. Where it is not
/// installed, only drop stops the server.
pub(crate) fn dies_with_us(program: &Path, args: &[OsString]) -> Command {
    let mut command = match find_optional("setpriv") {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--"]).arg(program);
            command
        }
        None => Command::new(program),
    };
    command.args(args);
    command
}

/// Starts the command from a thread that lives as long as the process.
///
/// The kernel sends the death signal when the *thread* that started the child ends; a test's own thread ends with the
/// test, though the server may be shared by several.
pub(crate) fn launch(command: Command) -> io::Result<Child> {
    let (reply, answer) = mpsc::channel();
    LAUNCHER
        .get_or_init(start_launcher)
        .send((command, reply))
        .map_err(|_| io::Error::other("the launching thread has ended"))?;
    answer
        .recv()
        .map_err(|_| io::Error::other("the launching thread has ended"))?
}

fn start_launcher() -> Sender<Order> {
    let (orders, inbox) = mpsc::channel::<Order>();
    thread::spawn(move || {
        for (mut command, reply) in inbox {
            if let Err(mpsc::SendError(Ok(mut orphan))) = reply.send(command.spawn()) {
                // Nobody waits for it any more, so nobody would stop it.
                if orphan.kill().is_ok() {
                    orphan.wait().ok();
                }
            }
        }
    });
    orders
}
