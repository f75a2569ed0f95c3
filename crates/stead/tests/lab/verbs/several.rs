//! Two hosts: one after the other, the release command once, and an end at the first that fails.

use lab::Lab;

use super::{App, Person, get};
use crate::laptop::Laptop;

const BOTH: &str = "[hosts]\nproduction = [\"h1\", \"h2\"]\n";

/// Only on this machine it does not start.
const FAILS_ON: &str =
    "import os, sys\nif os.uname().nodename == 'HOST':\n    sys.exit('not on HOST')\n";

#[test]
fn several_hosts_are_deployed_to_looked_at_and_rolled_back_together() {
    let Some(lab) = Lab::start_or_skip() else {
        return;
    };
    let machines = [lab.boot("h1").unwrap(), lab.boot("h2").unwrap()];
    let laptop = Laptop::of(&lab);
    let app = App::new();
    let person = Person::of(&laptop, &app);
    let serves = || {
        machines
            .each_ref()
            .map(|machine| get(machine.address(), "/"))
    };
    let write = |text: &str, first_lines: &str| {
        let release = "[release]\ncommand = \"echo the database is brought up to date\"\n";
        app.write(text, release);
        app.replace("stead.toml", "[hosts]\nproduction = [\"h1\"]\n", BOTH);
        app.replace("serve", "import http", &format!("{first_lines}import http"));
        app.commit();
    };

    // A host that is none yet: nothing is done on the other one.
    laptop.host("add", "h1", &["--yes"]).good();
    write("one", "");
    let refused = person.says(&["deploy"]).refused();
    assert!(refused.contains("cannot use `h2`"), "{refused}");
    assert_eq!(person.says(&["status", "--on", "h1"]).code, Some(1));
    laptop.host("add", "h2", &["--yes"]).good();

    let first = person.says(&["deploy"]);
    let steps = first.err.clone();
    first.good();
    assert_eq!(serves(), ["1 one", "1 one"]);
    // The first host was through before the second one began.
    let last_of_first = steps.rfind("h1 drain").expect(&steps);
    let first_of_second = steps.find("h2 write the code out").expect(&steps);
    assert!(last_of_first < first_of_second, "{steps}");
    let ran = "journalctl --quiet --output=cat STEAD_APP=shop STEAD_PROCESS=release | grep -c 'brought up'; true";
    let ran = || machines.each_ref().map(|machine| machine.sh(ran).unwrap());
    assert_eq!(ran(), ["1\n", "0\n"]);

    // The second one fails: the first one keeps the new release, and that is said.
    write("two", &FAILS_ON.replace("HOST", "h2"));
    let failed = person.says(&["deploy"]).refused();
    assert!(
        failed.contains("error: cannot deploy `shop` to `h2`"),
        "{failed}"
    );
    assert!(failed.contains("not on h2"), "{failed}");
    assert!(failed.contains("h1: release 2 serves"), "{failed}");
    assert!(
        failed.contains("h2: release 1 still serves; release 2 received no visitors"),
        "{failed}"
    );
    assert_eq!(serves(), ["2 two", "1 one"]);

    // The first one fails: the second one is not begun.
    write("three", &FAILS_ON.replace("HOST", "h1"));
    let failed = person.says(&["deploy"]).refused();
    assert!(
        failed.contains("h1: release 2 still serves; release 3 received no visitors"),
        "{failed}"
    );
    assert!(
        failed.contains("h2: not begun, release 1 still serves"),
        "{failed}"
    );
    assert_eq!(serves(), ["2 two", "1 one"]);

    write("four", "");
    person.says(&["deploy"]).good();
    assert_eq!(serves(), ["4 four", "3 four"]);
    assert_eq!(ran(), ["4\n", "0\n"]);
    they_are_shown_together(&person);

    // Each goes back to what served there before.
    person.says(&["rollback"]).good();
    assert_eq!(serves(), ["5 two", "4 one"]);
    person.says(&["scale", "web=2"]).good();
    for machine in &machines {
        let count = machine.sh("ls /etc/systemd/system | grep -c '^stead.shop.web.*.service$'");
        assert_eq!(count.unwrap(), "2\n");
    }

    // One that is not reached: nothing is done on any.
    machines[1].cut().unwrap();
    write("five", "");
    let refused = person.says(&["deploy"]).refused();
    assert!(refused.contains("cannot reach `h2`"), "{refused}");
    machines[1].mend().unwrap();
    assert_eq!(serves(), ["5 two", "4 one"]);
}

fn they_are_shown_together(person: &Person<'_>) {
    let status = person.says(&["status"]).good();
    for line in ["shop on h1\n", "shop on h2\n"] {
        assert!(status.contains(line), "{status}");
    }
    let logs = person.says(&["logs", "--since", "1h", "--json"]).good();
    let lines: Vec<serde_json::Value> = logs
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let hosts: std::collections::BTreeSet<&str> = lines
        .iter()
        .filter_map(|line| line["host"].as_str())
        .collect();
    assert_eq!(
        hosts.into_iter().collect::<Vec<_>>(),
        ["h1", "h2"],
        "{logs}"
    );
    let times: Vec<jiff::Timestamp> = lines
        .iter()
        .map(|line| line["at"].as_str().unwrap().parse().unwrap())
        .collect();
    assert!(times.is_sorted(), "{logs}");
}
