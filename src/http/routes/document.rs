//! What the OpenAPI document says of all routes alike: who may ask, and what is wrong with a request.

use crate::http::problem::CONTENT_TYPE;
use serde_json::{Value, json};
use utoipa::openapi::OpenApi;

/// Why any request may be refused.
const ANY: [(&str, &str); 4] = [
    ("400", "The request makes no sense."),
    (
        "401",
        "The token is missing or wrong, or a command comes without one from elsewhere than the page.",
    ),
    (
        "403",
        "The request comes from another origin's page, or from another machine and no token is set.",
    ),
    ("421", "`Host` is a name that was not allowed."),
];

/// And any command.
const COMMAND: [(&str, &str); 3] = [
    ("408", "The body did not come in time."),
    ("413", "The body is too large."),
    ("415", "The body is not `application/json`."),
];

const PROBLEM: &str = "#/components/schemas/Problem";

/// The whole document, in JSON.
pub(super) fn whole(routes: &OpenApi) -> Value {
    let mut document = serde_json::to_value(routes).unwrap_or_default();
    document["components"]["securitySchemes"] =
        json!({ "token": { "type": "http", "scheme": "bearer" } });
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    for (_, methods) in paths {
        for (method, operation) in methods.as_object_mut().into_iter().flatten() {
            // On this machine alone, none is needed until one is set.
            operation["security"] = json!([{}, { "token": [] }]);
            if let Some(responses) = operation["responses"].as_object_mut() {
                add(responses, &ANY);
                if method == "post" {
                    add(responses, &COMMAND);
                }
                responses.values_mut().for_each(name_kind);
            }
        }
    }
    document
}

/// Where the route does not say it better.
fn add(responses: &mut serde_json::Map<String, Value>, problems: &[(&str, &str)]) {
    for (status, why) in problems {
        let problem = || {
            json!({
                "description": why,
                "content": { "application/json": { "schema": { "$ref": PROBLEM } } }
            })
        };
        responses.entry(*status).or_insert_with(problem);
    }
}

/// A problem has a media type of its own.
fn name_kind(response: &mut Value) {
    let Some(content) = response.get_mut("content") else {
        return;
    };
    if content["application/json"]["schema"]["$ref"] == PROBLEM {
        let problem = content["application/json"].take();
        let kind = CONTENT_TYPE;
        *content = json!({ kind.to_str().unwrap_or_default(): problem });
    }
}
