//! The engine's own first process above the program.

use crate::machine::Machine;
use serde_json::json;

fn under_init(script: &str) -> Option<Machine> {
    let mut machine = Machine::new(script)?;
    machine.config["annotations"] = json!({ "run.corten.engine.init": "true" });
    Some(machine)
}

#[test]
fn orphans_leave_no_remains() {
    // Whose parent is gone when it ends, and nobody but the first process can wait for.
    let script = "sh -c 'sleep 0.1 & echo $! > /tmp/orphan'; sleep 0.5
        echo own $$; cat /proc/$(cat /tmp/orphan)/status 2>/dev/null | grep State; cat /proc/1/comm";
    let Some(machine) = under_init(script) else { return };
    let answer = machine.run();
    assert_eq!(answer.code, Some(0), "{}", answer.error);
    assert_eq!(answer.output, "own 2\ninit\n");
    let Some(machine) = Machine::new("echo own $$") else { return };
    assert_eq!(machine.run().output, "own 1\n");
}

#[test]
fn a_signal_for_the_first_process_is_the_programs() {
    let script = "trap 'echo heard; exit 7' TERM; kill -TERM 1; sleep 5 & wait";
    let Some(machine) = under_init(script) else { return };
    let answer = machine.run();
    assert_eq!((answer.code, answer.output.as_str()), (Some(7), "heard\n"), "{}", answer.error);
}

#[test]
fn it_ends_as_the_program_ends_and_takes_the_rest_along() {
    for (script, code) in [("sleep 100 & exit 3", 3), ("sleep 100 & kill -KILL $$", 137)] {
        let Some(machine) = under_init(script) else { return };
        let answer = machine.run();
        assert_eq!(answer.code, Some(code), "{script}: {}", answer.error);
    }
}

#[test]
fn a_program_that_is_not_there_is_told_as_without_it() {
    let Some(mut machine) = under_init("true") else { return };
    machine.config["process"]["args"] = json!(["/bin/none"]);
    let with = machine.run();
    machine.config["annotations"] = json!({});
    let without = machine.run();
    assert_ne!(with.code, Some(0));
    assert_eq!(with.error, without.error);
}
