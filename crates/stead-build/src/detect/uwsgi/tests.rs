use super::parse;

#[test]
fn variables_of_the_file_are_filled_in_and_its_paths_are_of_this_tree() {
    let ini = parse(
        "[other]\nmodule = no:no\n[uwsgi]\nproject = shop\nbase = /srv/%(project)\nchdir = %(base)\n\
         pythonpath = %d/lib\nmodule = %(project).wsgi\ncallable = web\nworkers = 3\n\
         static-map = /static=shop/static\nstatic-map = /media=/srv/media\nenv = A=b=c\n\
         enable-threads\nuid = www-data\nnonsense = 1\n",
    );
    assert_eq!(ini.entry.as_deref(), Some("shop.wsgi:web"));
    assert_eq!(ini.chdir, None);
    assert_eq!(ini.pythonpath, ["lib"]);
    assert_eq!(ini.processes, Some(3));
    assert_eq!(ini.env, [("A".to_owned(), "b=c".to_owned())]);
    assert_eq!(
        ini.static_map[0],
        ("/static".to_owned(), "shop/static".to_owned())
    );
    assert_eq!(ini.static_map[1].1, "");
    assert_eq!(ini.kept, [("enable-threads".to_owned(), "true".to_owned())]);
    let ignored: Vec<&str> = ini.ignored.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(ignored, ["uid", "nonsense"]);
}

#[test]
fn variables_that_double_themselves_stay_small() {
    let mut text = String::from("[uwsgi]\nbase = x\n");
    for _ in 0..200 {
        text.push_str("base = %(base)%(base)\n");
    }
    text.push_str("module = %(base)\n");
    assert!(parse(&text).entry.is_none_or(|entry| entry.len() < 100_000));
}

#[test]
fn an_entry_that_is_no_python_name_is_none() {
    assert_eq!(parse("[uwsgi]\nmodule = os;system(1)\n").entry, None);
    assert_eq!(
        parse("[uwsgi]\nwsgi-file = a/b.py\n").entry.as_deref(),
        Some("a.b:application")
    );
    assert_eq!(parse("").entry, None);
}
