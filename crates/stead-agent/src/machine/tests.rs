use super::*;

fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

#[test]
fn the_tightest_limit_of_version_2_counts() {
    let root = machine(&[
        ("proc/self/cgroup", "0::/user.slice/app.scope\n"),
        ("sys/fs/cgroup/user.slice/cpu.max", "150000 100000\n"),
        ("sys/fs/cgroup/user.slice/app.scope/cpu.max", "max 100000\n"),
        ("sys/fs/cgroup/user.slice/memory.max", "500000000\n"),
        ("sys/fs/cgroup/user.slice/memory.current", "300000000\n"),
        (
            "sys/fs/cgroup/user.slice/memory.stat",
            "anon 1\ninactive_file 100000000\n",
        ),
        ("sys/fs/cgroup/user.slice/app.scope/memory.max", "max\n"),
    ]);
    assert_eq!(cpu_quota(root.path()), Some(1.5));
    assert_eq!(cgroup_memory_left(root.path()), Some(300_000_000));
}

#[test]
fn the_limit_above_which_processes_are_slowed_down_counts_too() {
    let root = machine(&[
        ("proc/self/cgroup", "0::/app.scope\n"),
        ("sys/fs/cgroup/app.scope/memory.max", "800000000\n"),
        ("sys/fs/cgroup/app.scope/memory.high", "400000000\n"),
        ("sys/fs/cgroup/app.scope/memory.current", "300000000\n"),
    ]);
    assert_eq!(cgroup_memory_left(root.path()), Some(100_000_000));
}

#[test]
fn limits_of_version_1_count_also_in_a_container() {
    let root = machine(&[
        (
            "proc/self/cgroup",
            "5:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n0::/\n",
        ),
        ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000\n"),
        ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
        ("sys/fs/cgroup/memory/memory.limit_in_bytes", "1000\n"),
        ("sys/fs/cgroup/memory/memory.usage_in_bytes", "900\n"),
        (
            "sys/fs/cgroup/memory/memory.stat",
            "total_inactive_file 250\n",
        ),
    ]);
    assert_eq!(cpu_quota(root.path()), Some(0.5));
    assert_eq!(cgroup_memory_left(root.path()), Some(350));
}

#[test]
fn no_limit_is_no_limit() {
    let root = machine(&[
        ("proc/self/cgroup", "3:cpu:/\n4:memory:/\n"),
        ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n"),
        ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
    ]);
    assert_eq!(cpu_quota(root.path()), None);
    assert_eq!(cgroup_memory_left(root.path()), None);
    assert!(cpus() >= 1);
    assert!(memory_available().unwrap() > 1_000_000);
}

#[test]
fn listening_sockets_are_read_as_the_kernel_writes_them() {
    let line = |line: &str| listening_line(line).map(|(inode, at)| format!("{inode} {at}"));
    // As seen on a little-endian machine; the words are in the machine's own order.
    if cfg!(target_endian = "little") {
        assert_eq!(
            line("   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1 0 100 0 0 10 0").as_deref(),
            Some("12345 127.0.0.1:8080")
        );
        assert_eq!(
            line("   1: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 77 1 0").as_deref(),
            Some("77 [::1]:80")
        );
    }
    assert_eq!(
        line("   0: 00000000:1F90 00000000:0000 0A 0:0 0:0 0 0 0 9 1").as_deref(),
        Some("9 127.0.0.1:8080")
    );
    assert_eq!(
        line("   0: 0100007F:1F90 0100007F:9999 01 0:0 0:0 0 0 0 9 1"),
        None
    );
    assert_eq!(line("nonsense"), None);
}

#[test]
fn own_sockets_and_memory_are_found() {
    let own = [std::process::id() as i32];
    let bound = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    assert!(listening(&own).contains(&bound.local_addr().unwrap()));
    assert!(memory_of(&own) > 100_000);
    assert!(resident_memory_of(&own) > 100_000);
    assert_eq!(memory_of(&[i32::MAX]), 0);
}
