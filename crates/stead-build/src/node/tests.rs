use super::*;

#[test]
fn npm_ranges_are_understood() {
    let version = Version::new(18, 19, 0);
    for range in [
        ">=16",
        "18.x",
        "^18.0.0",
        ">=18 <21",
        ">= 18.0.0",
        "16 || 18",
        "16.x || >=18.0.0",
        "18",
        "18.19",
        "16 - 20",
        "*",
        "",
        "lts/*",
    ] {
        assert!(in_range(range, &version), "{range}");
    }
    for range in [">=20", "20.x", "^16.0.0", "<18", "16 || 20", "18.18.0"] {
        assert!(!in_range(range, &version), "{range}");
    }
}
