//! `x-kubernetes-validations`: rules in CEL, evaluated by the crate `cel` with Kubernetes' functions from `kube-cel`.
//!
//! Its `duration` is replaced: it does not know µs and ignores what stands behind the last unit.

mod duration;
mod value;

use kube_cel::KubeCelExt as _;
use kube_cel::cel::{self, Context, ExecutionError};
use serde_json::Value;

use super::problem::{Found, Kind, Problem};
use super::schema::{Expression, Reason, Rule, Schema, Type};

/// All rules that an object breaks. It is one that the rest of the schema has nothing against.
pub(super) fn check(schema: &Schema, object: &Value) -> Vec<Problem> {
    let mut functions = Context::default().with_all();
    functions.add_function("duration", duration::of);
    let mut check = Check {
        functions,
        problems: Vec::new(),
    };
    check.value(schema, object, "");
    check.problems
}

struct Check {
    functions: Context<'static>,
    problems: Vec<Problem>,
}

impl Check {
    fn value(&mut self, schema: &Schema, value: &Value, path: &str) {
        // Rules see what is there. Whether something may be absent is the parent's business.
        if value.is_null() {
            return;
        }
        self.rules(&schema.rules, schema, value, path);
        for all in &schema.all_of {
            self.value(all, value, path);
        }
        match value {
            Value::Array(items) => {
                if let Some(schema) = &schema.items {
                    for (index, item) in items.iter().enumerate() {
                        self.value(schema, item, &format!("{path}[{index}]"));
                    }
                }
            }
            Value::Object(fields) => {
                for (name, value) in fields {
                    if let Some(schema) = schema.additional_schema() {
                        self.value(schema, value, &format!("{path}[{name}]"));
                    }
                    if let Some(schema) = schema.properties.get(name) {
                        self.value(schema, value, &below(path, name));
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn rules(&mut self, rules: &[Rule], schema: &Schema, value: &Value, path: &str) {
        if rules.is_empty() {
            return;
        }
        let mut scope = self.functions.new_inner_scope();
        scope.add_variable_from_value("self", value::of(value, schema));
        for rule in rules {
            // What compares with the stored object has nothing to compare with.
            if rule.rule.program.references().has_variable("oldSelf") {
                continue;
            }
            let problem = match rule.rule.program.execute(&scope) {
                Ok(cel::Value::Bool(true)) => continue,
                Ok(_) => broken(rule, schema, value, path, &scope),
                Err(error) => failed(rule, schema, path, &error),
            };
            self.problems.push(problem);
        }
    }
}

/// The rule says no.
fn broken(rule: &Rule, schema: &Schema, value: &Value, path: &str, scope: &Context) -> Problem {
    let path = match &rule.field_path {
        Some(field) => below(path, field.trim_start_matches('.')),
        None => path.to_owned(),
    };
    let detail = rule
        .message_expression
        .as_ref()
        .and_then(|expression| message(expression, scope))
        .unwrap_or_else(|| match &rule.message {
            Some(message) => message.trim().to_owned(),
            None => format!("failed rule: {}", rule.rule.text.trim()),
        });
    let found = match schema.type_ {
        Some(Type::Object | Type::Array) => Found::Omitted,
        _ => Found::from(value),
    };
    match rule.reason {
        None | Some(Reason::Invalid) => Problem::invalid(path, found, detail),
        Some(Reason::Forbidden) => Problem::new(Kind::Forbidden, path, found, detail),
        Some(Reason::Required) => Problem::new(Kind::Required, path, found, detail),
        Some(Reason::Duplicate) => Problem::new(Kind::Duplicate, path, found, ""),
    }
}

/// What the expression says, if it says something in one line.
fn message(expression: &Expression, scope: &Context) -> Option<String> {
    match expression.program.execute(scope) {
        Ok(cel::Value::String(text)) => {
            let text = text.trim();
            (!text.is_empty() && !text.contains('\n')).then(|| text.to_owned())
        }
        _ => None,
    }
}

/// The rule cannot be evaluated on this value.
fn failed(rule: &Rule, schema: &Schema, path: &str, error: &ExecutionError) -> Problem {
    let rule = rule.message.as_deref().unwrap_or(&rule.rule.text).trim();
    let detail = match error {
        ExecutionError::NoSuchOverload => format!(
            "'no such overload': call arguments did not match a supported operator, function or macro signature for \
             rule: {rule}"
        ),
        _ => format!("{} evaluating rule: {rule}", words(error)),
    };
    Problem::invalid(path, schema.type_.map_or("", Type::name), detail)
}

/// The words of cel-go, for what a value can cause. Anything else is told in those of the crate `cel`.
fn words(error: &ExecutionError) -> String {
    match error {
        ExecutionError::FunctionError { function, message } => {
            let to = match function.as_str() {
                "duration" => "google.protobuf.Duration",
                "timestamp" => "google.protobuf.Timestamp",
                "int" | "uint" | "double" => function,
                _ => return message.clone(),
            };
            format!("type conversion error from 'string' to '{to}'")
        }
        ExecutionError::NoSuchKey(key) => format!("no such key: {key}"),
        ExecutionError::DivisionByZero(_) => "division by zero".to_owned(),
        ExecutionError::RemainderByZero(_) => "modulus by zero".to_owned(),
        ExecutionError::IndexOutOfBounds(cel::Value::Int(index)) => {
            format!("index out of bounds: {index}")
        }
        ExecutionError::Overflow(..) => "integer overflow".to_owned(),
        other => other.to_string(),
    }
}

fn below(path: &str, name: &str) -> String {
    let dot = if path.is_empty() { "" } else { "." };
    format!("{path}{dot}{name}")
}
