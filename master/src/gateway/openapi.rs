//! What the gateway says of itself: OpenAPI 3.1, made from the handlers, and the page that shows it.

use std::collections::BTreeMap;

use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, SchemaFormat, SchemaType, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Required, Response, ResponseBuilder};
use utoipa::{IntoParams, IntoResponses, Modify, OpenApi};

use super::problem::Problem;

/// What is said of the whole.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tally",
        description = "Exact totals of CSV files of any size: submit a file, watch it being counted, \
            look at what came out and download it. Every error is an RFC 9457 problem.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    components(schemas(Problem)),
    modifiers(&Keys),
    tags(
        (name = "jobs", description = "Files to be counted"),
        (name = "results", description = "What came out, and what did not go in"),
        (name = "uploads", description = "Uploads that can be taken up again: the tus protocol"),
        (name = "tables", description = "Keyed rows that live on, and what changes them"),
        (name = "cluster", description = "Slaves, health, events"),
        (name = "sources", description = "Places that are watched for new data"),
        (name = "kept", description = "Routes kept for those who call them today"),
    )
)]
pub(super) struct Api;

/// The key that a guarded master wants, and an open one does not.
struct Keys;

impl Modify for Keys {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let key = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("A key of tally keys create, where the master asks for one"));
        let components = api.components.get_or_insert_default();
        components.add_security_scheme("key", SecurityScheme::Http(key.build()));
        let (none, key) =
            (SecurityRequirement::default(), SecurityRequirement::new("key", [""; 0]));
        api.security = Some(vec![none, key]);
    }
}

/// The statuses that any request may be answered with, as problems.
const ANY: &[u16] = &[400, 401, 403, 404, 405, 429, 500, 503];

/// What a status means.
fn meaning(status: u16) -> &'static str {
    match status {
        400 => "The request makes no sense, or its body broke off",
        401 => "It is not known who asks: a guarded master wants a key",
        403 => "Who asks may not do that, or a page of another site does",
        404 => "There is no such job, table, row or aggregate, or no such route",
        405 => "The method is not allowed",
        406 => "None of the formats that are accepted is there",
        408 => "The body came too slowly while others waited; Retry-After says when to try again",
        409 => {
            "The job is not in the state that this needs, another request is in the way, or another table"
        }
        410 => "The job is gone, or changes are not kept any more",
        411 => "There is no body, and no length that says so",
        412 => "Another version of the protocol",
        413 => "The input is larger than this master takes, or there are too many operations",
        415 => "The body is nothing that can be counted, or is encoded in an unknown way",
        416 => "The range is not within the file",
        422 => "The spec, the input or the definition does not hold",
        423 => "Another connection is uploading",
        429 => "Too much at once; Retry-After says when to try again",
        460 => "The piece does not fit its checksum",
        503 => "The master is stopping; Retry-After says when to try again",
        507 => "The disk is full; Retry-After says when to try again",
        _ => "The master's storage failed",
    }
}

fn problems(of: &[u16]) -> BTreeMap<String, RefOr<Response>> {
    let each = ANY.iter().chain(of).map(|status| {
        let problem = Ref::from_schema_name("Problem");
        let content = ContentBuilder::new().schema(Some(problem)).build();
        let response = ResponseBuilder::new()
            .description(meaning(*status))
            .content("application/problem+json", content);
        (status.to_string(), RefOr::T(response.build()))
    });
    each.collect()
}

macro_rules! problems {
    ($($(#[$doc:meta])* $name:ident: $statuses:expr;)*) => { $(
        $(#[$doc])*
        pub(super) struct $name;

        impl IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                problems(&$statuses)
            }
        }
    )* };
}

problems! {
    /// What any request may be answered with.
    Any: [];
    /// What a request about a job may be answered with.
    OfJob: [410];
    /// The same, where the job has to be in some state.
    OfState: [409, 410];
    /// A download.
    OfFile: [406, 409, 410, 416];
    /// An input.
    OfInput: [408, 409, 410, 411, 413, 415, 422, 507];
    /// A piece of an upload.
    OfUpload: [408, 409, 410, 412, 413, 415, 422, 423, 460, 507];
    /// What a request about a table may be answered with.
    OfTable: [406, 507];
    /// A table that is declared.
    OfDeclaration: [408, 409, 413, 422, 507];
    /// Operations.
    OfOperations: [408, 413, 415, 507];
    /// Changes of a table.
    OfChanges: [410];
}

/// The parameters that shape a job.
pub(super) struct SpecParams;

impl IntoParams for SpecParams {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let text = |name: &str, description: &str| parameter(name, description, Type::String);
        vec![
            text("name", "A name for people, at most 256 bytes; else the file's"),
            choice("priority", "Which jobs go first", &["high", "default", "low"]),
            choice("preset", "A spec by its name", &["plays", "products"]),
            text("group_by", "Columns, separated by commas: NAME[:text|integer|date]"),
            text("table", "The table that the file fills, instead of being counted"),
            choice("mode", "What happens to rows that are not in the file", &["merge", "replace"]),
            text(
                "key",
                "The key columns of a table that is made after the file, separated by commas",
            ),
            text("sum", "COLUMN[=OUTPUT NAME]; may be repeated"),
            text("min", "COLUMN[=OUTPUT NAME]; may be repeated"),
            text("max", "COLUMN[=OUTPUT NAME]; may be repeated"),
            text("count", "The output name of a count of records"),
            choice("order", "The order of the result", &["sorted", "first-seen"]),
            choice("delimiter", "Found out if not given", &["comma", "semicolon", "tab", "pipe"]),
            text("max_rejects", "Records that may be rejected: a number, or a percentage"),
            parameter("keep_input", "Keep the input as long as the result", Type::Boolean),
        ]
    }
}

/// The name by which a request can be repeated.
pub(super) struct Repeatable;

impl IntoParams for Repeatable {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let key = ParameterBuilder::new()
            .name("Idempotency-Key")
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some("A repeat with the same key gets the first request's job"))
            .schema(Some(
                ObjectBuilder::new()
                    .schema_type(Type::String)
                    .max_length(Some(128))
                    .pattern(Some("^[!-~]+$")),
            ));
        vec![key.build()]
    }
}

/// The `{id}` of a job.
pub(super) struct JobPath;

impl IntoParams for JobPath {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let id = ParameterBuilder::new()
            .name("id")
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .description(Some("The job"))
            .schema(Some(
                ObjectBuilder::new()
                    .schema_type(Type::String)
                    .format(Some(SchemaFormat::Custom("uuid".to_owned()))),
            ));
        vec![id.build()]
    }
}

fn of_path(name: &str, description: &str, schema: ObjectBuilder) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some(description))
        .schema(Some(schema))
        .build()
}

fn named(name: &str, description: &str) -> Parameter {
    let schema = ObjectBuilder::new().schema_type(Type::String);
    of_path(name, description, schema.pattern(Some("^[a-z][a-z0-9_]{0,62}$")))
}

/// The wish for a CSV in which a spreadsheet finds no formulas.
pub(super) struct FormulaSafe;

impl IntoParams for FormulaSafe {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let description =
            "Of a CSV: texts that a spreadsheet would take for formulas begin with an apostrophe";
        vec![parameter("formula_safe", description, Type::Boolean)]
    }
}

/// The `{table}` of a path.
pub(super) struct TablePath;

impl IntoParams for TablePath {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![named("table", "The table's name")]
    }
}

/// The `{table}` and the `{key}` of a row.
pub(super) struct RowPath;

impl IntoParams for RowPath {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let schema = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1));
        let key = "The text of the only key column, or a JSON array of the values of all";
        vec![named("table", "The table's name"), of_path("key", key, schema)]
    }
}

/// The `{table}` and the `{aggregate}` of a path.
pub(super) struct AggregatePath;

impl IntoParams for AggregatePath {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![named("table", "The table's name"), named("aggregate", "The aggregate's name")]
    }
}

fn parameter(name: &str, description: &str, kind: impl Into<SchemaType>) -> Parameter {
    query(name, description, ObjectBuilder::new().schema_type(kind))
}

fn choice(name: &str, description: &str, words: &'static [&'static str]) -> Parameter {
    let schema = ObjectBuilder::new().schema_type(Type::String);
    query(name, description, schema.enum_values(Some(words.iter().copied())))
}

fn query(name: &str, description: &str, schema: ObjectBuilder) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(schema))
        .build()
}
