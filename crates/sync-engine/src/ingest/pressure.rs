//! Pressure: how full the engine is, and what follows.

/// How full the engine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BackpressureLevel {
    /// Below the warn threshold (70 %).
    Normal,
    /// Below 80 %: worth a warning.
    Warn,
    /// Below the critical threshold (90 %): callers should slow down (HTTP 429).
    Throttle,
    /// Below 95 %: writes wait (HTTP 503 when they wait too long).
    Critical,
    /// Below 98 %: writes are refused.
    Emergency,
    /// 98 % and more: nothing new is taken.
    Shutdown,
}

impl BackpressureLevel {
    /// The level at this pressure (0 to 1 and above), with the configured thresholds for `Warn` and `Critical`.
    /// The other levels stand where the defaults put them in between.
    pub fn of(pressure: f64, warn: f64, critical: f64) -> Self {
        let rest = 1.0 - critical;
        let bounds = [
            (critical + rest * 0.8, Self::Shutdown),
            (critical + rest * 0.5, Self::Emergency),
            (critical, Self::Critical),
            ((warn + critical) / 2.0, Self::Throttle),
            (warn, Self::Warn),
        ];
        bounds
            .iter()
            .find(|(from, _)| pressure >= *from)
            .map_or(Self::Normal, |(_, level)| *level)
    }

    /// Whether a new write is taken without waiting.
    pub fn accepts_writes(self) -> bool {
        self < Self::Critical
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_stand_where_the_specification_puts_them() {
        use BackpressureLevel::*;
        for (pressure, level) in [
            (0.0, Normal),
            (0.69, Normal),
            (0.7, Warn),
            (0.79, Warn),
            (0.81, Throttle),
            (0.9, Critical),
            (0.949, Critical),
            (0.951, Emergency),
            (0.981, Shutdown),
            (5.0, Shutdown),
        ] {
            assert_eq!(
                BackpressureLevel::of(pressure, 0.7, 0.9),
                level,
                "{pressure}"
            );
        }
    }
}
