"use strict";
// Draws what /events says each second. Everything that comes from outside goes through textContent or an
// attribute of a number; elements are kept and changed, so that nothing blinks.

const SVG = "http://www.w3.org/2000/svg";
const SECONDS = 300;      // of history
const LEAST_STEPS = 20;   // that a chart of the last hour is wide
const STALE_AFTER = 5000; // milliseconds without a word
const STALLED_AFTER = 15; // seconds without a byte
const SHOWN = { downloads: 5, recent: 10, labels: 16, others: 4 };
const $ = (id) => document.getElementById(id);

// --- words ---------------------------------------------------------------------------------------

function bytes(count) {
  if (count < 1000) return `${Math.round(count)} B`;
  let unit = "B";
  for (const next of ["kB", "MB", "GB", "TB", "PB"]) {
    if (count < 999.5) break;
    count /= 1000;
    unit = next;
  }
  return `${count < 9.95 ? count.toFixed(1) : count.toFixed(0)} ${unit}`;
}

function age(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 100) return `${s} s`;
  if (s < 6000) return `${Math.floor(s / 60)} min`;
  if (s < 172800) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86400)} d`;
}

function span(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const micros = seconds * 1e6;
  if (micros < 1000) return `${micros.toFixed(0)} µs`;
  if (micros < 1e6) return `${(micros / 1000).toFixed(micros < 1e4 ? 1 : 0)} ms`;
  return `${(micros / 1e6).toFixed(1)} s`;
}

const number = new Intl.NumberFormat("en").format;
const plural = (count, what) => `${number(count)} ${what}${count === 1 ? "" : "s"}`;
const short = (id) => id.slice(0, 8);

// --- elements ------------------------------------------------------------------------------------

function text(element, value) {
  if (element.textContent !== value) element.textContent = value;
}

function attribute(element, name, value) {
  if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

function make(tag, name, ...children) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  element.append(...children);
  return element;
}

function draw(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// Keeps one child for each item, in the items' order: makes what is new, changes what is there.
function list(parent, items, key, create, update, none) {
  const kept = parent.kept ?? (parent.kept = new Map());
  const seen = new Set();
  let place = parent.querySelector(":scope > .head")?.nextSibling ?? (parent.querySelector(":scope > .head") ? null : parent.firstChild);
  for (const item of items) {
    const name = key(item);
    seen.add(name);
    let element = kept.get(name);
    if (!element) kept.set(name, (element = create(item)));
    update(element, item);
    if (element === place) place = place.nextSibling;
    else parent.insertBefore(element, place);
  }
  for (const [name, element] of kept) {
    if (seen.has(name)) continue;
    element.remove();
    kept.delete(name);
  }
  let empty = parent.querySelector(":scope > .none");
  if (items.length > 0 || !none) empty?.remove();
  else {
    if (!empty) parent.append((empty = make("li", "none")));
    text(empty, none);
  }
}

const cells = (tag, name, ...parts) => make(tag, name, ...parts.map((part) => make("span", part)));
const cell = (element, name) => element.querySelector(`.${name}`);

// --- parts of the page ---------------------------------------------------------------------------

const demo = (status) => status.replicas.length > 1;
const name = (peer) => (peer.number ? `replica ${peer.number}` : peer.name ?? short(peer.id));

// Connected is good. Being dialled for the first time is neither. All else is a fault.
function look(peer) {
  if (peer.state === "connected") return "ok";
  return peer.state === "connecting" && !peer.last_error ? "wait" : "bad";
}

function verdict(status) {
  const { readiness, faults, store } = status.replica;
  const alone = readiness.peers > 0 && readiness.connected === 0;
  let line = "All here";
  if (faults.length > 0) line = "Something is wrong";
  else if (readiness.missing_artifacts > 0) line = `${plural(readiness.missing_artifacts, "artifact")} to come`;
  else if (alone) line = "Alone";
  else if (status.replica.folders.some((folder) => folder.over_share_files > 0)) line = "Some not fetched";
  else if (!readiness.ready) line = "Just connected";
  text($("headline"), line);
  attribute($("verdict"), "class", `verdict${faults.length > 0 || alone ? " bad" : ""}`);
  const behind = readiness.missing_artifacts > 0
    ? `${bytes(readiness.missing_bytes)} missing`
    : `${plural(store.artifacts, "artifact")}, ${bytes(store.bytes)}`;
  const away = readiness.peers - readiness.connected;
  const waits = readiness.waiting_for_space > 0 ? `, ${number(readiness.waiting_for_space)} waiting for space` : "";
  const peers = readiness.peers === 0 ? "no peers on the list"
    : away === 0 ? `${readiness.peers === 1 ? "" : "all "}${plural(readiness.peers, "peer")} connected`
    : `${plural(away, "peer")} of ${readiness.peers} away`;
  text($("subline"), `${behind}${waits}; ${peers}`);
  const known = store.bytes + readiness.missing_bytes;
  $("progress").value = known > 0 ? store.bytes / known : readiness.missing_artifacts > 0 ? 0 : 1;
  list($("reasons"), faults, (fault) => fault, () => make("li"), text);
  list($("notices"), status.notices, (notice) => notice, () => make("li"), text);
  document.title = faults.length > 0 || alone ? `! ${line}` : readiness.ready ? "all here" : line;
}

function tiles(status) {
  const { readiness, store, traffic, peers } = status.replica;
  text($("held"), bytes(store.bytes));
  text($("held-more"), `${plural(store.artifacts, "artifact")}, ${number(store.fetched)} fetched`);
  text($("connected"), `${readiness.connected} of ${readiness.peers}`);
  attribute($("connected"), "class", readiness.connected < readiness.peers ? "big bad-text" : "big");
  const trips = peers.map((peer) => peer.round_trip).filter((trip) => trip !== null).sort((a, b) => a - b);
  text($("connected-more"), trips.length ? `round trip ${span(trips[trips.length >> 1])}` : "no round trip yet");
  text($("in"), `${bytes(traffic.in_rate)}/s`);
  text($("out"), `${bytes(traffic.out_rate)}/s`);
  const top = Math.max(1000, ...traffic.in_history, ...traffic.out_history);
  const height = (value) => 39 - (38 * value) / top;
  const [, area, line] = $("traffic").children;
  attribute(area, "d", path(traffic.out_history, height, true));
  attribute(line, "d", path(traffic.in_history, height, false));

  const limit = store.max_store_bytes ?? Infinity;
  const free = Math.min(store.free_bytes ?? Infinity, Math.max(0, limit - store.bytes));
  const tight = (store.free_bytes !== null && store.free_bytes <= store.min_free_bytes) || store.bytes >= limit;
  text($("free"), Number.isFinite(free) ? `${bytes(free)} free` : "unknown");
  const whole = store.bytes + (Number.isFinite(free) ? free : 0);
  $("disk").style.setProperty("--share", whole > 0 ? Math.min(1, store.bytes / whole) : 0);
  attribute($("disk"), "class", tight || store.last_error ? "bar bad" : "bar");
  const more = [];
  if (store.min_free_bytes > 0) more.push(`${bytes(store.min_free_bytes)} kept free`);
  if (store.verified_bytes > 0) more.push(`${bytes(store.verified_bytes)} verified`);
  if (store.damaged > 0) more.push(`${store.damaged} damaged, ${store.repaired} repaired`);
  text($("disk-more"), more.join(", "));
}

// A line through the last seconds, the latest at the right edge.
function path(values, height, closed) {
  if (values.length === 0) return "";
  const first = SECONDS - values.length;
  const points = values.map((value, index) => `${first + index},${height(value).toFixed(1)}`);
  const line = `M${points.join("L")}`;
  return closed ? `${line}L${SECONDS - 1},40L${first},40Z` : line;
}

// Steps, the latest at the right edge, of so many. Closed at the bottom if it is an area.
function steps(values, count, height, closed) {
  if (values.length === 0) return "";
  const first = count - values.length;
  const step = (value, x) => `${x},${height(value)}L${x + 1},${height(value)}`;
  const points = values.map((value, index) => step(value, first + index));
  const line = `M${points.join("L")}`;
  return closed ? `${line}L${count},40L${first},40Z` : line;
}

function chart(id, area, line, words) {
  const figure = $(id);
  const top = Math.max(1, ...area, ...line);
  const height = (value) => (39 - (38 * value) / top).toFixed(1);
  const count = Math.max(LEAST_STEPS, line.length);
  attribute(cell(figure, "spark"), "viewBox", `0 0 ${count} 40`);
  attribute(cell(figure, "grid"), "d", `M0,39.5H${count}`);
  attribute(cell(figure, "area"), "d", steps(area, count, height, true));
  attribute(cell(figure, "line"), "d", steps(line, count, height, false));
  text(figure.querySelector("span"), words);
  attribute(cell(figure, "spark"), "aria-label", `${figure.querySelector("b").textContent}: ${words}`);
}

function hour(status) {
  const { hour, readiness, store } = status.replica;
  const known = hour.in_rate.length;
  text($("hour-more"), known === 0 ? `the first point comes after ${hour.step} s`
    : known * hour.step < 3600 ? `${age(known * hour.step)} so far, a point each ${hour.step} s`
    : `a point each ${hour.step} s`);
  const most = (values) => Math.max(0, ...values);
  chart("hour-traffic", hour.out_rate, hour.in_rate,
    `line: in, up to ${bytes(most(hour.in_rate))}/s; area: out, up to ${bytes(most(hour.out_rate))}/s`);
  chart("hour-missing", hour.missing, hour.missing,
    `${plural(readiness.missing_artifacts, "artifact")} now, up to ${number(most(hour.missing))}`);
  const grown = store.bytes - (hour.held_bytes[0] ?? store.bytes);
  const change = grown === 0 ? "no change" : `${grown < 0 ? "less by" : "more by"} ${bytes(Math.abs(grown))}`;
  chart("hour-held", hour.held_bytes, hour.held_bytes, `${bytes(store.bytes)}, ${change}`);
  const dropped = hour.dropped.reduce((sum, count) => sum + count, 0);
  chart("hour-dropped", [], hour.dropped, dropped === 0 ? "no message" : plural(dropped, "message"));
  attribute(cell($("hour-dropped"), "line"), "class", dropped > 0 ? "line drops" : "line");
}

function peers(status) {
  const parent = $("peers");
  if (!cell(parent, "head")) {
    const head = cells("li", "peer head", "who", "state", "address", "in num", "out num", "trip num");
    for (const [part, words] of [["who", "peer"], ["state", "state"], ["address", "address"], ["in", "in"], ["out", "out"], ["trip", "round trip"]]) {
      text(cell(head, part), words);
    }
    parent.prepend(head);
  }
  const create = () => cells("li", "", "who id", "state where", "address where", "in num", "out num", "trip num", "error");
  // Who is away stands first.
  const order = { bad: 0, wait: 1, ok: 2 };
  const sorted = [...status.replica.peers].sort((a, b) => order[look(a)] - order[look(b)] || (a.number ?? 0) - (b.number ?? 0));
  list(parent, sorted, (peer) => peer.id, create, (row, peer) => {
    attribute(row, "class", `peer ${look(peer)}`);
    attribute(row, "data-id", peer.id);
    text(cell(row, "who"), peer.number ? `${name(peer)} ${peer.id.slice(0, 4)}` : name(peer));
    attribute(cell(row, "who"), "class", peer.name && !peer.number ? "who" : "who id");
    // Of one that is dialled again and again it counts since when it is away, not since the last dial.
    const state = peer.state === "connecting" && look(peer) === "bad" ? "away" : peer.state;
    text(cell(row, "state"), `${state} ${age(status.now - (peer.away_since ?? peer.since))}`);
    attribute(cell(row, "state"), "title", `${peer.state} ${age(status.now - peer.since)}, ${plural(peer.connections, "connection")}`);
    text(cell(row, "address"), peer.address);
    attribute(cell(row, "address"), "title", peer.remote ? `connected from ${peer.remote}` : peer.address);
    attribute(cell(row, "who"), "title", peer.id);
    text(cell(row, "in"), `${bytes(peer.in_rate)}/s`);
    text(cell(row, "out"), `${bytes(peer.out_rate)}/s`);
    attribute(cell(row, "in"), "title", `${bytes(peer.bytes_in)} in all`);
    attribute(cell(row, "out"), "title", `${bytes(peer.bytes_out)} in all`);
    text(cell(row, "trip"), span(peer.round_trip));
    text(cell(row, "error"), peer.state !== "connected" && peer.last_error ? peer.last_error : "");
  }, "no peers on the list");
}

function ring(status) {
  const svg = $("ring");
  const { replica } = status;
  const count = replica.peers.length;
  const radius = 152;
  const size = Math.max(4, Math.min(13, 15 - count / 6));
  // In a demo everybody keeps the same place, whoever is looked at.
  const ordered = demo(status) ? [...replica.peers].sort((a, b) => a.number - b.number) : replica.peers;
  const places = new Map(ordered.map((peer, index) => {
    const turn = (index / Math.max(1, count)) * 2 * Math.PI - Math.PI / 2;
    return [peer.id, [Math.cos(turn), Math.sin(turn)]];
  }));
  const shape = `${replica.id} ${ordered.map((peer) => peer.id).join()}`;
  if (svg.shape !== shape) {
    svg.shape = shape;
    svg.replaceChildren(draw("g", { class: "chords" }));
    svg.peers = new Map();
    for (const peer of ordered) {
      const [x, y] = places.get(peer.id).map((share) => share * radius);
      const group = draw("g", {},
        draw("line", { class: "link", x1: 0, y1: 0, x2: x, y2: y }),
        draw("line", { class: "pulse", x1: 0, y1: 0, x2: x, y2: y }),
        draw("circle", { class: "dot", cx: x, cy: y, r: size }),
        draw("title", {}));
      if (count <= SHOWN.labels) {
        const [left, top] = places.get(peer.id);
        group.append(draw("text", { x: left * (radius + 54), y: top * (radius + 28) }));
      }
      if (peer.number) {
        group.classList.add("jump");
        group.addEventListener("click", () => { location.hash = peer.number; });
      }
      svg.peers.set(peer.id, group);
      svg.append(group);
    }
    svg.append(
      draw("circle", { class: "self", r: 50 }),
      draw("text", { class: "count", y: -7 }),
      draw("text", { class: "under", y: 15 }));
  }
  for (const peer of ordered) {
    const group = svg.peers.get(peer.id);
    const busiest = Math.max(peer.in_rate, peer.out_rate);
    const moves = busiest > 1500 && peer.state === "connected" ? (peer.in_rate >= peer.out_rate ? "in" : "out") : "";
    attribute(group, "class", `${look(peer)} ${moves}${peer.number ? " jump" : ""}`);
    const wide = 1.5 + Math.max(0, Math.log10(busiest / 1000)) * 0.4;
    cell(group, "link").style.strokeWidth = wide.toFixed(1);
    text(group.querySelector("title"), `${name(peer)}: ${peer.state}`);
    const label = group.querySelector("text");
    if (label) text(label, name(peer));
  }
  const self = cell(svg, "self");
  attribute(self, "class", replica.readiness.ready ? "self" : replica.readiness.connected ? "self" : "self self-bad");
  text(cell(svg, "count"), number(replica.store.artifacts));
  text(cell(svg, "under"), demo(status) ? `replica ${replica.number}` : replica.name ?? short(replica.id));
  chords(status, places, radius);
}

// What the others of a demo have with each other. Of one replica's own peers nobody knows.
function chords(status, places, radius) {
  const byNumber = new Map(status.replicas.map((replica) => [replica.number, places.get(replica.id)]));
  const pairs = [];
  for (const replica of status.replicas) {
    for (const other of replica.connected) {
      const [from, to] = [byNumber.get(replica.number), byNumber.get(other)];
      if (from && to && replica.number < other) pairs.push([`${replica.number}-${other}`, from, to]);
    }
  }
  list(cell($("ring"), "chords"), pairs, ([key]) => key, () => draw("line", { class: "chord" }), (line, [, from, to]) => {
    attribute(line, "x1", from[0] * radius);
    attribute(line, "y1", from[1] * radius);
    attribute(line, "x2", to[0] * radius);
    attribute(line, "y2", to[1] * radius);
  });
}

function replicas(status) {
  list($("replicas"), demo(status) ? status.replicas : [], (replica) => replica.number, (replica) => {
    const link = make("a");
    link.href = `#${replica.number}`;
    link.textContent = replica.number;
    return link;
  }, (link, replica) => {
    const here = replica.number === status.replica.number ? "here" : "";
    attribute(link, "class", `${here}${replica.ready ? "" : " behind"}`);
    attribute(link, "title", `${plural(replica.artifacts, "artifact")}, ${number(replica.missing)} missing`);
  });
}

// Of bytes, or of files if they are empty. All of it is here only if nothing is missing.
function shareHere(folder) {
  if (folder.missing_files === 0) return folder.newer_catalog && folder.sequence === 0 ? 0 : 1;
  const [missing, all] = folder.bytes > 0 ? [folder.missing_bytes, folder.bytes] : [folder.missing_files, folder.files];
  return Math.min(0.99, Math.max(0, (all - missing) / all));
}

// What the peers say that they lack of a folder. It is what each says of itself.
function others(status, folder) {
  const known = new Map(status.replica.peers.map((peer) => [peer.id, peer]));
  const parts = folder.peers.slice(0, folder.peers_behind)
    .filter((peer) => peer.missing_files > 0 || peer.older_catalog);
  const words = parts.slice(0, SHOWN.others).map((peer) => {
    const lacks = peer.missing_files > 0 ? `lacks ${plural(peer.missing_files, "file")}, ${bytes(peer.missing_bytes)}`
      : "has an older list";
    const away = known.get(peer.id)?.state === "connected" ? "" : `, as it said ${age(status.now - peer.said)} ago`;
    return `${name(peer)} ${lacks}${away}`;
  });
  const more = folder.peers_behind - words.length;
  if (more > 0) words.push(`${plural(more, "other")} ${more === 1 ? "lacks" : "lack"} some`);
  const whole = folder.peers_complete;
  const all = whole > 0 && whole === status.replica.peers.length;
  if (all) words.push(whole === 1 ? "the peer has all" : `all ${whole} peers have all`);
  else if (whole > 0) words.push(`${plural(whole, "peer")} ${whole === 1 ? "has" : "have"} all`);
  const silent = folder.peers_silent;
  if (silent > 0 && folder.files > 0) words.push(`${plural(silent, "peer")} ${silent === 1 ? "says" : "say"} nothing`);
  return words.join("; ");
}

function folders(status) {
  const parent = $("folders");
  const parts = ["who", "files num", "size num", "here", "share num", "come num", "others"];
  if (!cell(parent, "head")) {
    const head = cells("li", "folder head", ...parts);
    for (const [part, words] of [["who", "publisher"], ["files", "files"], ["size", "size"], ["share", "here"], ["come", "coming"]]) {
      text(cell(head, part), words);
    }
    parent.prepend(head);
  }
  const create = () => {
    const row = cells("li", "folder", ...parts);
    cell(row, "here").append(make("div", "bar", make("i")));
    return row;
  };
  // What is missing stands first.
  const sorted = [...status.replica.folders].sort((a, b) => (b.missing_files > 0) - (a.missing_files > 0));
  list(parent, sorted, (folder) => folder.publisher, create, (row, folder) => {
    const known = status.replicas.find((replica) => demo(status) && replica.id === folder.publisher);
    attribute(row, "data-id", folder.publisher);
    text(cell(row, "who"), known ? name(known) : folder.name);
    attribute(cell(row, "who"), "title", folder.publisher);
    text(cell(row, "files"), plural(folder.files, "file"));
    text(cell(row, "size"), bytes(folder.bytes));
    const share = shareHere(folder);
    cell(row, "bar").style.setProperty("--share", share);
    const since = folder.missing_since === null ? "" : ` for ${age(status.now - folder.missing_since)}`;
    attribute(cell(row, "here"), "title",
      folder.missing_files > 0 ? `${bytes(folder.missing_bytes)} missing${since}` : "nothing is missing");
    const over = folder.over_share_files > 0 ? `, ${number(folder.over_share_files)} over max_publisher_bytes` : "";
    const whole = folder.newer_catalog ? "newer to come" : "all here";
    text(cell(row, "share"), folder.missing_files === 0 ? whole
      : `${Math.floor(100 * share)} %, ${number(folder.missing_files)} missing${over}`);
    const left = folder.left === null ? "" : `, ${age(folder.left)} left`;
    text(cell(row, "others"), others(status, folder));
    text(cell(row, "come"), folder.rate > 0 && folder.missing_files > 0 ? `${bytes(folder.rate)}/s${left}` : "");
  }, "nobody publishes a folder");
}

// The name of the file stays whole where the path has to be cut.
function labelled(element, label) {
  const at = label.lastIndexOf("/") + 1;
  if (!element.firstElementChild) element.append(make("span", "folder-path"), make("span", "file-name"));
  text(element.firstElementChild, label.slice(0, at));
  text(element.lastElementChild, label.slice(at));
}

function downloads(status) {
  // What moves stands first.
  const all = [...status.replica.downloads].sort((a, b) => (b.rate > 0) - (a.rate > 0));
  text($("downloads-more"), all.length > SHOWN.downloads ? `${number(all.length)} at once` : "");
  const create = () => {
    const row = cells("li", "download", "id", "from", "got num", "rate num", "left num");
    row.append(make("div", "bar", make("i")));
    return row;
  };
  list($("downloads"), all.slice(0, SHOWN.downloads), (download) => download.id, create, (row, download) => {
    labelled(cell(row, "id"), download.label ?? short(download.id));
    attribute(cell(row, "id"), "title", `${download.label ?? ""} ${download.id}`.trim());
    text(cell(row, "from"), `from ${plural(download.peers, "peer")}`);
    text(cell(row, "got"), `${bytes(download.received)} of ${bytes(download.size)}`);
    text(cell(row, "rate"), `${bytes(download.rate)}/s`);
    // Nothing has come yet: for a while that is its turn to wait, behind what the same peers send.
    const stalled = download.left === null && download.age > STALLED_AFTER;
    text(cell(row, "left"), stalled ? "stalled" : download.left === null ? "waits" : `${age(download.left)} left`);
    attribute(cell(row, "left"), "class", stalled ? "left num bad-text" : "left num");
    const share = download.size > 0 ? download.received / download.size : 0;
    cell(row, "bar").style.setProperty("--share", Math.min(1, share));
  }, "nothing");
}

let knownArtifacts = null;

function recent(status) {
  const all = status.replica.recent.slice(0, SHOWN.recent);
  const create = (artifact) => {
    const isNew = knownArtifacts && !knownArtifacts.has(artifact.id);
    const row = cells("li", isNew ? "artifact new" : "artifact", "id", "size num", "came num");
    row.dataset.id = artifact.id;
    text(cell(row, "size"), bytes(artifact.size));
    return row;
  };
  list($("recent"), all, (artifact) => artifact.id, create, (row, artifact) => {
    labelled(cell(row, "id"), artifact.label ?? artifact.id);
    attribute(cell(row, "id"), "title", `${artifact.label ?? ""} ${artifact.id}`.trim());
    text(cell(row, "came"), `${age(status.now - artifact.came)} ago`);
  }, "nothing yet");
  knownArtifacts = new Set(status.replica.recent.map((artifact) => artifact.id));
}

// 10 µs at the bottom, 10 s at the top.
const waitHeight = (micros) => 25 - 24 * Math.min(1, Math.max(0, Math.log10(Math.max(micros, 10) / 10) / 6));

function flows(status) {
  const parent = $("flows");
  const parts = ["who", "flight num", "load", "rate num", "p50 num", "p99 num", "chart", "dropped num"];
  if (!cell(parent, "head")) {
    const head = cells("div", "flow head", ...parts);
    for (const [part, words] of Object.entries({ who: "flow", flight: "in flight", load: "load", rate: "per second", p50: "wait p50", p99: "p99", chart: "p99 over five minutes", dropped: "dropped" })) {
      text(cell(head, part), words);
    }
    parent.prepend(head);
  }
  const create = () => {
    const row = cells("div", "flow", ...parts);
    cell(row, "load").append(make("div", "bar", make("i")));
    const spark = draw("svg", { class: "spark", viewBox: "0 0 299 26", preserveAspectRatio: "none" },
      draw("path", { class: "grid", d: "M0,17H299M0,9H299" }), draw("path", { class: "line" }), draw("path", { class: "drops" }));
    cell(row, "chart").append(spark);
    return row;
  };
  list(parent, status.replica.flows, (flow) => flow.name, create, (row, flow) => {
    attribute(row, "data-flow", flow.name);
    text(cell(row, "who"), flow.name);
    text(cell(row, "flight"), number(flow.in_flight));
    cell(row, "bar").style.setProperty("--share", flow.overload / 100);
    attribute(cell(row, "bar"), "class", flow.overload >= 100 ? "bar bad" : "bar");
    attribute(cell(row, "load"), "title", `${flow.overload} % of its bounds; ${number(flow.waited)} had to wait for capacity`);
    text(cell(row, "rate"), `${number(flow.rate)}/s`);
    text(cell(row, "p50"), span(flow.wait_p50));
    text(cell(row, "p99"), span(flow.wait_p99));
    const dropped = cell(row, "dropped");
    text(dropped, flow.dropped_lately > 0 ? `${number(flow.dropped_lately)} of ${number(flow.dropped)}` : number(flow.dropped));
    attribute(dropped, "class", flow.dropped_lately > 0 ? "dropped num bad-text" : "dropped num");
    attribute(dropped, "title", flow.advice ?? "");
    const first = SECONDS - flow.dropped_history.length;
    attribute(cell(row, "line"), "d", path(flow.p99_history, waitHeight, false));
    const drops = flow.dropped_history.map((count, index) => (count > 0 ? `M${first + index},26v-7` : ""));
    attribute(cell(row, "drops"), "d", drops.join(""));
  });
}

function refusals(status) {
  const create = () => cells("li", "", "what", "lately num", "total num");
  list($("refusals"), status.replica.refusals, (refusal) => refusal.what, create, (row, refusal) => {
    attribute(row, "class", refusal.lately > 0 ? "refusal bad" : "refusal");
    text(cell(row, "what"), refusal.what);
    text(cell(row, "lately"), refusal.lately > 0 ? `+${number(refusal.lately)}` : "");
    text(cell(row, "total"), number(refusal.total));
  }, "nothing since the start");
}

// --- the stream ----------------------------------------------------------------------------------

let lastWord = performance.now();
let source = null;

function show(status) {
  text($("id"), demo(status) ? `demo, replica ${status.replica.number}` : status.replica.name ?? short(status.replica.id));
  attribute($("id"), "title", status.replica.id);
  text($("up"), `up ${age(status.now - status.started)}`);
  text($("version"), `, version ${status.version}`);
  const parts = [verdict, tiles, replicas, ring, peers, folders, downloads, recent, hour, flows, refusals];
  for (const part of parts) part(status);
}

function live() {
  const silent = performance.now() - lastWord;
  const stale = silent > STALE_AFTER;
  attribute(document.body, "class", stale ? "stale" : "");
  attribute($("live"), "class", stale ? "live off" : "live on");
  text($("live"), stale ? `no word for ${age(silent / 1000)}` : "live");
}

function listen() {
  source?.close();
  knownArtifacts = null;
  const number = /^#[1-9][0-9]{0,3}$/.test(location.hash) ? location.hash.slice(1) : "1";
  source = new EventSource(`events?replica=${number}`);
  source.onmessage = (event) => {
    lastWord = performance.now();
    show(JSON.parse(event.data));
    live();
  };
  // The browser tries on by itself after a break, but not after a refusal: too many listen, or there is no
  // replica of this number.
  source.onerror = () => {
    if (source.readyState !== EventSource.CLOSED) return;
    if (!$("id").textContent) history.replaceState(null, "", location.pathname);
    setTimeout(listen, 2000);
  };
}

window.addEventListener("hashchange", listen);
setInterval(live, 1000);
listen();
