//! Events, and spans as they end, one JSON object a line.

use crate::common::output::plain_json;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::fmt::Debug;
use std::io::Write;
use std::time::{Duration, Instant};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::{LookupSpan, SpanRef};

/// Writes them to standard error.
pub struct Lines;

#[derive(Serialize)]
struct Line<'a> {
    /// RFC 3339, UTC.
    time: String,
    level: &'a str,
    target: &'a str,
    /// `close` where a span ends.
    message: String,
    fields: Map<String, Value>,
    /// The innermost span, which is the one that ends.
    span: Option<&'a str>,
    /// All of them, from the outermost on.
    spans: Vec<&'a str>,
    /// Of a span that ends: from its beginning on, and those in which it was worked on.
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    busy_seconds: Option<f64>,
}

/// What is known of an open span.
struct Open {
    fields: Fields,
    began: Instant,
    entered: Option<Instant>,
    busy: Duration,
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Map<String, Value>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            (name, value) => drop(self.others.insert(name.to_owned(), value)),
        }
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, json!(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, json!(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, json!(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, json!(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, json!(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, json!(format!("{value:?}")));
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let open = Open { fields, began: Instant::now(), entered: None, busy: Duration::ZERO };
        span.extensions_mut().insert(open);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        with(id, &context, |open| values.record(&mut open.fields));
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        with(id, &context, |open| open.entered = Some(Instant::now()));
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        with(id, &context, |open| {
            open.busy += open.entered.take().map_or(Duration::ZERO, |since| since.elapsed());
        });
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        write(&line(event.metadata(), fields, context.event_span(event).as_ref()));
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let Some(Open { mut fields, began, busy, .. }) = span.extensions_mut().remove::<Open>() else {
            return;
        };
        "close".clone_into(&mut fields.message);
        let seconds = Some(began.elapsed().as_secs_f64());
        let busy_seconds = Some(busy.as_secs_f64());
        write(&Line { seconds, busy_seconds, ..line(span.metadata(), fields, Some(&span)) });
    }
}

fn with<S: Subscriber + for<'a> LookupSpan<'a>>(
    id: &Id,
    context: &Context<'_, S>,
    f: impl FnOnce(&mut Open),
) {
    let Some(span) = context.span(id) else { return };
    let mut extensions = span.extensions_mut();
    if let Some(open) = extensions.get_mut::<Open>() {
        f(open);
    }
}

fn line<'a, S: for<'b> LookupSpan<'b>>(
    metadata: &'a Metadata<'_>,
    fields: Fields,
    span: Option<&SpanRef<'a, S>>,
) -> Line<'a> {
    let mut time = String::new();
    // A time that cannot be told is an empty text.
    let _ = SystemTime.format_time(&mut Writer::new(&mut time));
    let spans: Vec<&str> =
        span.into_iter().flat_map(|span| span.scope().from_root()).map(|s| s.name()).collect();
    Line {
        time,
        level: metadata.level().as_str(),
        target: metadata.target(),
        message: fields.message,
        fields: fields.others,
        span: spans.last().copied(),
        spans,
        seconds: None,
        busy_seconds: None,
    }
}

/// One write a line, so that those of several threads do not mix. Nobody is left to be told of a failure.
fn write(line: &Line<'_>) {
    if let Ok(text) = serde_json::to_string(line) {
        let _ = std::io::stderr().lock().write_all((plain_json(&text) + "\n").as_bytes());
    }
}
