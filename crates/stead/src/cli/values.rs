//! Values of options, and what is said of one that is none.

use std::net::SocketAddr;
use std::time::Duration;

/// Most threads that an edge may be told to have.
const MOST_THREADS: usize = 1024;

/// `500ms`, `30s`, `10m`, `1h`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let milliseconds = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err("a time has a unit: `500ms`, `30s`, `10m` or `1h`".to_owned()),
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|count| count.checked_mul(milliseconds))
        .map(Duration::from_millis)
        .ok_or_else(|| "a time is a number and a unit, such as `30s`".to_owned())
}

/// `127.0.0.1:8000`, `[::1]:8000`.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "an address is an IP address and a port, such as `0.0.0.0:80` or `[::]:80`".to_owned()
    })
}

/// 0 to 65535.
pub(super) fn port(text: &str) -> Result<u16, String> {
    text.parse()
        .map_err(|_| "a port is a number from 0 to 65535".to_owned())
}

/// 0 (as many as suit the machine) to [`MOST_THREADS`].
pub(super) fn threads(text: &str) -> Result<usize, String> {
    let threads = text.parse().ok().filter(|count| *count <= MOST_THREADS);
    threads.ok_or_else(|| format!("it is a number from 1 to {MOST_THREADS}"))
}

/// 1 and above, as `stead releases` numbers them.
pub(super) fn release(text: &str) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| "a release is a number that `stead releases` lists, such as 41".to_owned())
}

/// A name of a git remote that every shell and git read alike.
pub(super) fn remote(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let good = text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(plain)
        && !text.ends_with('.')
        && !text.ends_with(".lock")
        && !text.contains("..")
        && text.len() <= 100;
    match good {
        true => Ok(text.to_owned()),
        false => {
            Err("a remote is named by letters, digits, hyphens, underscores and dots".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_number_and_a_unit() {
        assert_eq!(duration("10m"), Ok(Duration::from_secs(600)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        for wrong in [
            "",
            "10",
            "m",
            "-1s",
            "1.5h",
            "10d",
            "99999999999999999999s",
            "1é",
        ] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn releases_are_numbered_from_one() {
        assert_eq!(release("41"), Ok(41));
        for wrong in ["", "0", "abc", "-1", "1.5", "v1", "99999999999999999999"] {
            let why = release(wrong).unwrap_err();
            assert!(why.contains("`stead releases` lists"), "{why}");
        }
    }

    #[test]
    fn remotes_have_names_that_mean_nothing_else() {
        assert_eq!(remote("shop-1.eu_2"), Ok("shop-1.eu_2".to_owned()));
        for wrong in [
            "", "-f", ".a", "a..b", "a.lock", "a/b", "a b", "$(id)", "a;b", "a.",
        ] {
            assert!(remote(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn addresses_have_a_port_and_threads_a_bound() {
        assert!(address("127.0.0.1:0").is_ok() && address("[::1]:80").is_ok());
        for wrong in ["", "nonsense", "127.0.0.1", ":80", "localhost:80", "[::1]"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
        assert_eq!(threads("2"), Ok(2));
        assert!(threads("1025").is_err() && threads("-1").is_err() && threads("two").is_err());
        assert_eq!(port("65535"), Ok(65535));
        assert!(port("65536").is_err() && port("eighty").is_err());
    }
}
