//! `[hosts]`: where the app is deployed to.

use std::collections::BTreeMap;

use super::section::{Section, describe};
use super::values;
use crate::config_error::Problem;
use crate::host::is_target;

/// Groups of hosts by name.
pub(super) fn read(section: &Section<'_>) -> BTreeMap<String, Vec<String>> {
    let mut groups = BTreeMap::new();
    for (name, value) in section.table {
        let key = super::shorten(name.get_ref());
        if let Err(problem) = values::name(name.get_ref()) {
            section.invalid(&key, name.span().start, problem);
            continue;
        }
        let Some(list) = value.get_ref().as_array() else {
            let written = section.given(value.span());
            let given = describe(value.get_ref(), written);
            let mut problem = Problem::new(format!("wanted a list of hosts, got {given}"));
            if value.get_ref().is_str() {
                problem = problem.hint(format!("{key} = [{written}]"));
            }
            section.invalid(&key, value.span().start, problem);
            continue;
        };
        let mut hosts = Vec::new();
        for item in list.iter() {
            match item.get_ref().as_str().filter(|text| is_target(text)) {
                Some(host) if hosts.iter().any(|other| other == host) => {
                    let problem = Problem::new(format!("`{host}` is there twice"));
                    section.invalid(&key, item.span().start, problem);
                }
                Some(host) => hosts.push(host.to_owned()),
                None => {
                    let problem =
                        Problem::new("a host is given as `HOST` or `USER@HOST`, as to ssh");
                    let hint = format!("for example: {key} = [\"deploy@shop-1.example.com\"]");
                    section.invalid(&key, item.span().start, problem.hint(hint));
                }
            }
        }
        if list.is_empty() {
            section.invalid(&key, value.span().start, Problem::new("it has no host"));
        }
        groups.insert(name.get_ref().to_string(), hosts);
    }
    groups
}
