use std::time::Duration;

use axum::{body::to_bytes, http::Method};
use tower_service::Service as _;

use super::*;
use crate::{
    http::{
        Sampler,
        limits::MAX_SAMPLE_AGE,
        notices::Noted,
        reading::Reading,
        tests_support::{peer, reading},
    },
    transport::PeerState,
};

/// A board on which this has been seen, so long ago.
fn board(readings: Vec<Reading>, age: Duration) -> Arc<Board> {
    let board = Arc::new(Board::new());
    // A clock that is younger than that has no such time; then the age is what it can be.
    let at = Instant::now().checked_sub(age).expect("the machine has run for a while");
    board.put(Sampler::new(0.0).take(readings.into_iter(), Noted::default(), at));
    board
}

async fn ask(
    board: &Arc<Board>,
    path: &str,
    headers: &[(HeaderName, &str)],
) -> (StatusCode, String) {
    let mut request = Request::builder().method(Method::GET).uri(path);
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    let request = request.body(Body::empty()).unwrap();
    let response = router(board.clone(), true).call(request).await.unwrap();
    let status = response.status();
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn health_is_of_the_tasks_the_store_and_the_looking() {
    let faulty = |change: fn(&mut Reading)| {
        let mut reading = reading();
        change(&mut reading);
        board(vec![reading], Duration::ZERO)
    };
    for (board, fault) in [
        (Arc::new(Board::new()), "nothing has been seen yet"),
        (board(vec![reading()], MAX_SAMPLE_AGE + Duration::from_secs(2)), "nobody has looked"),
        (faulty(|of| of.failed_tasks = 1), "1 task panicked"),
        (faulty(|of| of.store.last_error = Some("no \"space\"".to_owned())), "the store: no"),
    ] {
        let (status, body) = ask(&board, "/health", &[]).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
        assert!(body.contains(fault), "{body}");
        serde_json::from_str::<serde_json::Value>(&body).unwrap();
    }
    let (status, _) = ask(&board(vec![reading()], Duration::ZERO), "/health", &[]).await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn all_replicas_have_to_be_ready_unless_one_is_asked_for() {
    let mut behind = reading();
    (behind.gossip.wanted, behind.gossip.missing_bytes) = (2, 700);
    let board = board(vec![reading(), behind], Duration::ZERO);
    let (status, body) = ask(&board, "/ready", &[]).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["missing_artifacts"], 2);
    assert_eq!(body["missing_bytes"], 700);
    assert_eq!(body["reasons"][0], "2 artifacts known and not held (700 B)");
    assert_eq!(ask(&board, "/ready?replica=1", &[]).await.0, StatusCode::OK);
    assert_eq!(ask(&board, "/ready?replica=2", &[]).await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ask(&board, "/ready?replica=3", &[]).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_peers_say_stays_text() {
    let mut reading = reading();
    reading.peers = vec![peer(1, PeerState::Away)];
    reading.peers[0].last_error = Some("</script><b>\"\n\u{1b}[2J".to_owned());
    let board = board(vec![reading], Duration::ZERO);
    let (_, body) = ask(&board, "/status.json", &[]).await;
    assert_eq!(body.lines().count(), 1, "{body}");
    let json: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(json["replica"]["peers"][0]["last_error"], "</script><b>\"\n\u{1b}[2J");
    // The page puts it where text goes, and nowhere else.
    let script = include_str!("../page.js");
    for dangerous in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
        assert!(!script.contains(dangerous), "{dangerous}");
    }
    for page in [include_str!("../page.html"), include_str!("../page.css"), script] {
        assert!(
            !page.replace("http://www.w3.org/2000/svg", "").contains("://"),
            "nothing from elsewhere"
        );
    }
}

#[test]
fn names_of_this_machine_are_told_from_others() {
    let named = |host: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_str(host).unwrap());
        names_loopback(&headers)
    };
    for own in ["localhost", "localhost:4180", "127.0.0.1:4180", "127.9.9.9", "[::1]:4180", "[::1]"]
    {
        assert!(named(own), "{own}");
    }
    for other in
        ["", "evil.example", "localhost.evil.example:80", "10.0.0.1:4180", "[::2]", "[::1", "::1"]
    {
        assert!(!named(other), "{other}");
    }
    assert!(names_loopback(&HeaderMap::new()), "a request of old without a name");
}
