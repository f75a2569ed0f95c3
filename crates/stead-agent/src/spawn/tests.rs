use std::io::Read;

use super::*;

fn program(dir: &Path, argv: &[&str]) -> Program {
    let argv: Vec<OsString> = argv.iter().map(OsString::from).collect();
    let file = find(
        &argv[0],
        dir,
        &[],
        OsStr::new("/usr/local/bin:/usr/bin:/bin"),
    )
    .unwrap();
    Program {
        file,
        argv,
        env: vec![("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into())],
        dir: dir.to_owned(),
        descriptors: Vec::new(),
        listen_pid: false,
    }
}

fn output(program: &Program) -> String {
    let child = run(program, None).unwrap();
    let mut text = String::new();
    std::fs::File::from(child.stdout)
        .read_to_string(&mut text)
        .unwrap();
    std::fs::File::from(child.stderr)
        .read_to_string(&mut text)
        .unwrap();
    rustix::process::waitpid(Some(child.pid), rustix::process::WaitOptions::empty()).unwrap();
    text
}

#[test]
fn a_child_has_its_own_session_no_input_and_default_signals() {
    let dir = tempfile::tempdir().unwrap();
    let script = "cat; readlink /proc/self/fd/0; pwd; grep SigIgn /proc/$$/status | cut -f2; \
                  test $(cut -d' ' -f6 /proc/$$/stat) = $$ && echo leads";
    let text = output(&program(dir.path(), &["sh", "-c", script]));
    let here = dir.path().canonicalize().unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let [input, directory, ignored, leads] = lines.as_slice() else {
        panic!("{text}");
    };
    assert_eq!((*input, *leads), ("/dev/null", "leads"));
    assert_eq!(Path::new(directory), here);
    // But for the two that the C library keeps to itself (32 and 33).
    let ignored = u64::from_str_radix(ignored, 16).unwrap();
    assert_eq!(ignored & !0x1_8000_0000, 0);
}

#[test]
fn descriptors_are_handed_over_in_order_with_the_process_id() {
    let dir = tempfile::tempdir().unwrap();
    let mut program = program(
        dir.path(),
        &[
            "sh",
            "-c",
            "cat <&3; cat <&4; test $LISTEN_PID = $$ && echo mine; ls /proc/$$/fd | wc -l",
        ],
    );
    for text in ["one\n", "two\n"] {
        let file = dir.path().join(text.trim());
        std::fs::write(&file, text).unwrap();
        program
            .descriptors
            .push(Arc::new(std::fs::File::open(file).unwrap().into()));
    }
    program.listen_pid = true;
    assert_eq!(output(&program), "one\ntwo\nmine\n5\n");
}

#[test]
fn what_cannot_be_run_says_why() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str, mode| {
        let file = dir.path().join(name);
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    write("script", "#!/opt/gone/bin/python3 -E\n", 0o755);
    write("text", "hello\n", 0o755);
    write("closed", "#!/bin/sh\n", 0o644);
    let why = |name: &str| match find(OsStr::new(name), dir.path(), &[], OsStr::new("/bin")) {
        Err(why) => why,
        Ok(file) => {
            let program = Program {
                file,
                argv: vec![name.into()],
                ..program(dir.path(), &["sh"])
            };
            run(&program, None).map(|_| ()).unwrap_err()
        }
    };
    let shown = dir.path().display();
    assert_eq!(
        why("./script"),
        format!(
            "`{shown}/./script` names an interpreter that is not there: `/opt/gone/bin/python3 -E`"
        )
    );
    assert_eq!(
        why("./text"),
        format!(
            "`{shown}/./text` is neither a program for this machine nor a script with a `#!` line"
        )
    );
    assert_eq!(why("./closed"), "`./closed` is not executable");
    assert_eq!(why("./missing"), "`./missing`: no such file or directory");
    assert_eq!(why("missing"), "there is no program `missing` in PATH");
    assert_eq!(why("."), "there is no program `.` in PATH");
    assert_eq!(why(""), "its command is empty");
    let folder = [dir.path().join("bin")];
    let why = find(OsStr::new("gunicorn"), dir.path(), &folder, OsStr::new("")).unwrap_err();
    assert_eq!(
        why,
        format!("there is no program `gunicorn` in `{shown}/bin` or PATH")
    );
    let gone = Program {
        dir: "/no/such/dir".into(),
        ..program(dir.path(), &["sh"])
    };
    assert_eq!(
        run(&gone, None).map(|_| ()).unwrap_err(),
        "cannot enter `/no/such/dir`: no such file or directory"
    );
}

#[test]
fn digits_are_written_without_padding() {
    for number in [1, 10, 4_194_304, i32::MAX] {
        let mut buffer = vec![0; 12];
        write_digits(&mut buffer, 1, number);
        let text: Vec<u8> = buffer.into_iter().skip(1).take_while(|b| *b != 0).collect();
        assert_eq!(String::from_utf8(text).unwrap(), number.to_string());
    }
}
