use super::*;
use clap::CommandFactory;

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn to_keep_data_for_no_time_is_refused() {
    for flag in ["--retention-hits", "--retention-checks"] {
        let refused = Cli::try_parse_from(["watchkeeper", "local", flag, "0d"]);
        let refusal = refused.expect_err("a refusal").to_string();
        assert!(refusal.contains(flag) && refusal.contains("longer than nothing"), "{refusal}");
    }
    assert_eq!(retention("12h"), Ok(Duration::from_secs(12 * 3_600)));
}

fn local(flags: &[&str]) -> Result<LocalArgs, clap::Error> {
    let line = ["watchkeeper", "local"].into_iter().chain(flags.iter().copied());
    Cli::try_parse_from(line).map(|cli| match cli.command {
        Command::Local(args) => *args,
        other => panic!("not local: {other:?}"),
    })
}

#[test]
fn a_monitoring_configuration_needs_no_file_to_be_named() {
    for (flags, file) in [
        (&["--monitoring-config"][..], ""),
        (&["--monitoring-config", "--protect-docs"][..], ""),
        (&["--monitoring-config", "a.yaml"][..], "a.yaml"),
    ] {
        let args = local(flags).expect("a command line");
        assert_eq!(args.monitoring.monitoring_config, Some(PathBuf::from(file)), "{flags:?}");
    }
}

#[test]
fn an_allowed_host_is_a_host_alone() {
    let args = local(&["--allowed-hosts", "Watch.example,bücher.example", "--allowed-hosts", "[::1]"]);
    assert_eq!(args.expect("hosts").allowed_hosts, ["watch.example", "xn--bcher-kva.example", "::1"]);
    for bad in ["watch.example:8080", "https://watch.example", "a b"] {
        let refusal = local(&["--allowed-hosts", bad]).expect_err(bad).to_string();
        assert!(refusal.contains("--allowed-hosts"), "{refusal}");
    }
}
