use std::os::unix::fs::PermissionsExt;

use super::*;

fn places(dir: &Path) -> Places {
    let places = Places {
        state: dir.join("state"),
        run: dir.join("run"),
        units: dir.join("units"),
    };
    fs::create_dir_all(&places.units).unwrap();
    fs::create_dir_all(places.app("shop")).unwrap();
    places
}

#[test]
fn variables_are_for_root_alone_and_units_for_everybody() {
    let dir = tempfile::tempdir().unwrap();
    let places = places(dir.path());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let variables = places.app("shop").join("x");
    places.write_private(&variables, "A=\"1\"\n").unwrap();
    assert_eq!(mode(&variables), 0o600);
    places.write_unit("a.service", "").unwrap();
    assert_eq!(mode(&places.unit("a.service")), 0o644);
}

#[test]
fn the_machine_boots_with_what_serves_and_with_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let places = places(dir.path());
    places.boot("shop", &["one.service".to_owned()]).unwrap();
    places.boot("shop", &["two.service".to_owned()]).unwrap();
    let wants = places
        .units
        .join("multi-user.target.wants/stead.shop.target");
    let text = fs::read_to_string(wants).unwrap();
    assert!(text.contains("Wants=two.service\n"), "{text}");
    assert!(!text.contains("one.service"), "{text}");
    places.remove("shop", false);
    assert!(!places.unit("stead.shop.target").exists());
}

#[test]
fn the_id_of_a_name_is_that_of_its_own_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("passwd");
    fs::write(&file, "stead-shop2:x:7:7::/:/x\nstead-shop:x:8:9::/:/x\n").unwrap();
    let file = file.to_str().unwrap();
    assert_eq!(id_of(file, "stead-shop"), Some(8));
    assert_eq!(id_of(file, "stead"), None);
}
