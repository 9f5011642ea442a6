//! Argo CD's health checks, in the interpreter that Argo CD uses.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use watchkeeper_testkit::paths;
use watchkeeper_testkit::rundir::RunDir;

/// What Argo CD keeps from health checks, unless it is told to open every library.
const CLOSED: [&str; 8] = ["io", "string", "math", "debug", "coroutine", "channel", "dofile", "loadfile"];

/// What a health check says of an object: its status and its message.
///
/// # Errors
/// When it fails, or gives no status.
pub fn health(check: &Path, object: &Value) -> Result<(String, String)> {
    let source = fs::read_to_string(check).with_context(|| check.display().to_string())?;
    let mut script = format!("obj = {}\n", literal(object));
    // Taken away but for what this script itself needs at its end.
    script += "local say, text = print, tostring\n";
    for name in CLOSED {
        script += &format!("{name} = nil\n");
    }
    script += &format!("local result = (function()\n{source}\nend)()\n");
    script += "say(text(result.status))\nsay(text(result.message))\n";
    let directory = RunDir::new("lua")?;
    let file = directory.path().join("check.lua");
    fs::write(&file, script)?;
    let mut glua = Command::new(paths::built("glua")?.join("glua"));
    let output = glua.arg(&file).stdin(Stdio::null()).output()?;
    let said = String::from_utf8(output.stdout)?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    // It ends well even when a script does not.
    match said.split_once('\n') {
        Some((status, message)) if output.status.success() && complaint.is_empty() => {
            Ok((status.to_owned(), message.trim_end().to_owned()))
        }
        _ => bail!("{}: {said}{complaint}", check.display()),
    }
}

/// A value as Lua writes it.
fn literal(value: &Value) -> String {
    match value {
        Value::Null => "nil".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => quoted(text),
        Value::Array(items) => format!("{{{}}}", items.iter().map(literal).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            let fields =
                fields.iter().map(|(name, value)| format!("[{}] = {}", quoted(name), literal(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_written_as_lua_reads_them() {
        let value = json!({"a": [1, true, null], "b-c": "say \"x\\y\"\n"});
        assert_eq!(literal(&value), r#"{["a"] = {1, true, nil}, ["b-c"] = "say \"x\\y\"\n"}"#);
    }
}
