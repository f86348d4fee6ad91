//! What each path answers. Handlers read the board and nothing else.
//!
//! | path | answer |
//! |---|---|
//! | `/` | the page; `/page.css`, `/page.js` and `/icon.svg` belong to it |
//! | `/metrics` | OpenMetrics to who accepts it, else Prometheus' older text |
//! | `/health` | 200 while the process's parts live, else 503 with the reasons |
//! | `/ready` | 200 when the replica holds all it knows of and is connected, else 503 with the reasons |
//! | `/status.json` | all of it |
//! | `/events` | the same each second, as server-sent events |
//!
//! `?replica=N` chooses one of several. Other methods than GET and HEAD get 405, other paths 404.

use std::{convert::Infallible, net::IpAddr, sync::Arc, time::Instant};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode, Uri,
        header::{self, ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HOST},
    },
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::get,
};
use futures_util::stream;
use serde_json::json;

use super::{
    board::{Board, Sample},
    metrics,
};

const SECURITY: [(HeaderName, &str); 4] = [
    // Nothing from elsewhere, nothing inline, in nobody's frame.
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (CACHE_CONTROL, "no-store"),
];

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// `loopback_only`: whether only names of this machine are answered to. A page of somebody else's whose
/// name leads to this machine would otherwise read everything with the help of our own browser.
pub(super) fn router(board: Arc<Board>, loopback_only: bool) -> Router {
    let file = |kind: &'static str, content: &'static str| {
        get(move || async move { ([(CONTENT_TYPE, kind)], content) })
    };
    Router::new()
        .route("/", file("text/html; charset=utf-8", include_str!("page.html")))
        .route("/page.css", file("text/css; charset=utf-8", include_str!("page.css")))
        .route("/page.js", file("text/javascript; charset=utf-8", include_str!("page.js")))
        .route("/icon.svg", file("image/svg+xml", include_str!("icon.svg")))
        .route("/metrics", get(scrape))
        .route("/health", get(health))
        .route("/ready", get(ready))
        .route("/status.json", get(status))
        .route("/events", get(events))
        .fallback(|| async { Refusal(StatusCode::NOT_FOUND, "there is nothing of this name") })
        .with_state(board)
        .layer(from_fn_with_state(loopback_only, guard))
        .layer(from_fn(secure))
}

async fn secure(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in SECURITY {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn guard(State(loopback_only): State<bool>, request: Request, next: Next) -> Response {
    if loopback_only && !names_loopback(request.headers()) {
        let why = "this port answers to names of this machine only";
        return Refusal(StatusCode::FORBIDDEN, why).into_response();
    }
    next.run(request).await
}

/// Whether a request without a name, or to a name that can only be this machine's.
fn names_loopback(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST) else { return true };
    let Ok(host) = host.to_str() else { return false };
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((name, _)) => name,
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Why a request is not answered, in a line.
struct Refusal(StatusCode, &'static str);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, [(CONTENT_TYPE, TEXT)], format!("{}\n", self.1)).into_response()
    }
}

/// What was seen last, and the place of the replica that is asked for; none if all are.
fn chosen(board: &Board, uri: &Uri) -> Result<(Arc<Sample>, Option<usize>), Refusal> {
    let unseen = || Refusal(StatusCode::SERVICE_UNAVAILABLE, "nothing has been seen yet");
    let sample = board.latest().filter(|of| !of.replicas.is_empty()).ok_or_else(unseen)?;
    let mut pairs = uri.query().unwrap_or_default().split('&');
    let Some(number) = pairs.find_map(|pair| pair.strip_prefix("replica=")) else {
        return Ok((sample, None));
    };
    let place = number.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
    match place.filter(|place| *place < sample.replicas.len()) {
        Some(place) => Ok((sample, Some(place))),
        None => Err(Refusal(StatusCode::NOT_FOUND, "there is no replica of this number")),
    }
}

async fn scrape(State(board): State<Arc<Board>>, headers: HeaderMap, uri: Uri) -> Response {
    let (sample, place) = match chosen(&board, &uri) {
        Ok(chosen) => chosen,
        Err(refusal) => return refusal.into_response(),
    };
    let accept = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let open = accept.into_iter().any(|value| value.contains("application/openmetrics-text"));
    let text = metrics::render(&board, sample, place.unwrap_or_default(), Instant::now());
    match (text, open) {
        (Err(_), _) => {
            Refusal(StatusCode::INTERNAL_SERVER_ERROR, "the text cannot be made").into_response()
        }
        (Ok(text), true) => ([(CONTENT_TYPE, metrics::OPEN_METRICS)], text).into_response(),
        (Ok(text), false) => {
            ([(CONTENT_TYPE, metrics::CLASSIC)], metrics::classic(&text)).into_response()
        }
    }
}

async fn health(State(board): State<Arc<Board>>) -> Response {
    let faults = board.faults(Instant::now());
    verdict(faults.is_empty(), &json!({ "healthy": faults.is_empty(), "faults": faults }))
}

/// Of all replicas, unless one is asked for.
async fn ready(State(board): State<Arc<Board>>, uri: Uri) -> Response {
    let (sample, place) = match chosen(&board, &uri) {
        Ok(chosen) => chosen,
        Err(refusal) => return refusal.into_response(),
    };
    let places = place.map_or(0..sample.replicas.len(), |place| place..place + 1);
    let views = sample.replicas[places].iter().map(|seen| &seen.view.readiness);
    let unready = views.clone().find(|readiness| !readiness.ready);
    let shown = unready.or_else(|| views.clone().next());
    verdict(unready.is_none(), &json!(shown))
}

fn verdict(good: bool, body: &serde_json::Value) -> Response {
    let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(CONTENT_TYPE, JSON)], format!("{body}\n")).into_response()
}

async fn status(State(board): State<Arc<Board>>, uri: Uri) -> Response {
    match chosen(&board, &uri) {
        Ok((sample, place)) => {
            ([(CONTENT_TYPE, JSON)], sample.json(place.unwrap_or_default())).into_response()
        }
        Err(refusal) => refusal.into_response(),
    }
}

async fn events(State(board): State<Arc<Board>>, uri: Uri) -> Response {
    let place = match chosen(&board, &uri) {
        Ok((_, place)) => place.unwrap_or_default(),
        Err(refusal) => return refusal.into_response(),
    };
    let Some(listener) = board.listen() else {
        let why = "too many listen already";
        return Refusal(StatusCode::SERVICE_UNAVAILABLE, why).into_response();
    };
    let frames = stream::unfold(listener, move |mut listener| async move {
        let sample = listener.next().await?;
        // The replicas stay the same while the process runs.
        let json = if place < sample.replicas.len() { sample.json(place) } else { Bytes::new() };
        let frame = [b"retry: 1000\ndata: ".as_slice(), &json, b"\n\n"].concat();
        Some((Ok::<_, Infallible>(Bytes::from(frame)), listener))
    });
    ([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(frames)).into_response()
}

#[cfg(test)]
mod tests;
