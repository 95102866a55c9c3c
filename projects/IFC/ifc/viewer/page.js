// SPDX-License-Identifier: Apache-2.0
// The page around the video: what is shown, the tracks' timeline, the objects of a frame, keys and downloads.
// Names come from files: they are set as text alone, never as markup.
"use strict";

const WRONG = [230, 30, 30]; // missed or found in error, as in the reports' pictures
const TRUTH = [255, 255, 255];

const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);
$("data").remove();
const { tracks, frames } = data;

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

const text = (textContent, className = "") => element("span", { textContent, className });

/** Whether a frame is in [first, end, first, end, ...]. */
const isWithin = (spans, frame) => spans.some((first, i) => i % 2 === 0 && first <= frame && frame < spans[i + 1]);

class Viewer {
  constructor() {
    this.video = $("video");
    this.masks = new MaskCache(data.height, data.width);
    this.picture = new MaskPicture(data.height, data.width);
    this.context = $("overlay").getContext("2d");
    this.hiddenTracks = new Set();
    this.hiddenClasses = new Set();
    this.rows = new Map(); // of the list of objects, by track
    this.listed = []; // tracks
    this.trackRows = []; // of the timeline
    this.addClasses();
    this.addTimeline();
    this.player = new Player(this.video, data.times, (frame) => this.draw(frame));
    this.connect();
    this.redraw();
    this.video.src = data.video.content ? this.embedded(data.video) : data.video.url;
  }

  /** A video that lies in the page: unlike one beside it, its pictures may be saved from a page on disk. */
  embedded({ content, type }) {
    const bytes = Uint8Array.from(atob(content), (character) => character.charCodeAt(0));
    data.video.content = null;
    return URL.createObjectURL(new Blob([bytes], { type }));
  }

  isShown(track) {
    const { kind, name, score } = tracks[track];
    if (this.hiddenTracks.has(track) || this.hiddenClasses.has(name)) return false;
    return kind === "truth" ? $("show-truth").checked : $("show-results").checked && score >= this.leastScore;
  }

  get leastScore() {
    return Number($("least-score").value);
  }

  draw(frame) {
    const objects = (frames[frame] ?? []).filter(([track]) => this.isShown(track));
    const drawn = objects.map(([track, counts]) => {
      const isTruth = tracks[track].kind === "truth";
      return {
        track,
        mask: this.masks.get(frame * tracks.length + track, counts),
        color: this.color(track, frame),
        inside: $("masks").checked && !isTruth ? Number($("opacity").value) : 0,
        hasOutline: $("outlines").checked,
        isDashed: isTruth && !this.isWrong(track, frame),
      };
    });
    this.fitOverlay();
    this.picture.paint(drawn);
    const { context } = this;
    context.clearRect(0, 0, context.canvas.width, context.canvas.height);
    this.picture.drawOn(context);
    if ($("labels").checked) this.drawLabels(drawn, frame);
    this.list(frame, objects);
    this.showPlace(frame);
  }

  isWrong(track, frame) {
    return isWithin(tracks[track].wrong, frame);
  }

  color(track, frame) {
    if (this.isWrong(track, frame)) return WRONG;
    return tracks[track].kind === "truth" ? TRUTH : tracks[track].color;
  }

  redraw() {
    this.trackRows.forEach((row, track) => (row.hidden = tracks[track].score < this.leastScore));
    this.draw(this.player.frame);
  }

  /** The overlay has the pixels of the screen, so that labels can be read on a small video. */
  fitOverlay() {
    const { canvas } = this.context;
    const { width, height } = canvas.getBoundingClientRect();
    const [w, h] = [width, height].map((side) => Math.max(1, Math.round(side * devicePixelRatio)));
    if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, { width: w, height: h });
  }

  /** Of the best object first; an annotated one has none, as its result has, unless that is missing. */
  drawLabels(drawn, frame) {
    const labels = drawn
      .filter(({ track }) => tracks[track].kind === "result" || this.isWrong(track, frame))
      .map(({ track, mask, color }) => ({ text: this.nameOf(track), mask, color }));
    drawLabels(this.context, labels.reverse(), data.width, data.height);
  }

  nameOf(track) {
    const { kind, name, id } = tracks[track];
    return kind === "truth" ? `truth ${id} ${name}` : `#${id} ${name}`;
  }

  /** The objects of a frame, a row for each track that stays the same. */
  list(frame, objects) {
    for (const track of this.listed) this.rows.get(track).row.hidden = true;
    this.listed = objects.map(([track]) => track);
    for (const [track, , score] of objects) {
      const { row, value } = this.rows.get(track) ?? this.addRow(track);
      row.hidden = false;
      const fault = tracks[track].kind === "truth" ? "missed" : "false";
      const wrong = this.isWrong(track, frame) ? fault : "";
      const shown = wrong || (score === undefined ? "" : `${(100 * score).toFixed(0)} %`);
      if (value.textContent !== shown) value.textContent = shown;
      value.classList.toggle("wrong", Boolean(wrong));
    }
    $("no-objects").hidden = objects.length > 0;
  }

  addRow(track) {
    const value = text("", "value");
    const row = element("li", { title: tracks[track].note }, this.swatch(track), text(this.nameOf(track)), value);
    // In the tracks' order, whatever order they first appear in.
    const next = [...this.rows.keys()].filter((other) => other > track).reduce((a, b) => Math.min(a, b), Infinity);
    $("objects").insertBefore(row, this.rows.get(next)?.row ?? null);
    this.rows.set(track, { row, value });
    return { row, value };
  }

  swatch(track) {
    const made = element("span", { className: `swatch ${tracks[track].kind}` });
    made.style.setProperty("--color", `rgb(${tracks[track].color})`);
    return made;
  }

  addClasses() {
    for (const name of [...new Set(tracks.map((track) => track.name))].sort()) {
      const box = element("input", { type: "checkbox", checked: true });
      box.addEventListener("change", () => this.setHidden(this.hiddenClasses, name, !box.checked));
      $("classes").append(element("label", {}, box, name));
    }
  }

  setHidden(hidden, key, isHidden) {
    if (isHidden) hidden.add(key);
    else hidden.delete(key);
    this.redraw();
  }

  addTimeline() {
    tracks.forEach((track, i) => {
      const box = element("input", { type: "checkbox", checked: true });
      box.addEventListener("change", () => this.setHidden(this.hiddenTracks, i, !box.checked));
      const score = track.kind === "truth" ? "" : `${(100 * track.score).toFixed(0)} %`;
      const parts = [box, this.swatch(i), text(this.nameOf(i)), text(score, "value")];
      const label = element("label", { title: track.note }, ...parts);
      const bar = element("div", { className: "bar" });
      bar.style.setProperty("--color", `rgb(${track.color})`);
      const absences = this.marks("absent", track.seen.slice(1, -1)); // between two times that it is seen
      absences.forEach((mark, k) => (mark.title = this.absence(...track.seen.slice(2 * k + 1, 2 * k + 3))));
      bar.append(...this.marks("seen", track.seen), ...absences, ...this.marks("wrong", track.wrong));
      bar.addEventListener("click", (event) => this.seekTo(event, bar));
      this.trackRows.push(element("li", {}, label, bar));
    });
    $("tracks").append(...this.trackRows);
    for (const [frame, event] of data.events) {
      const button = element("button", { textContent: `frame ${frame}`, type: "button" });
      button.addEventListener("click", () => this.player.seek(frame));
      $("events").append(element("li", {}, button, ` ${event}`));
    }
  }

  marks(className, spans) {
    const place = (frame) => `${(100 * frame) / frames.length}%`;
    return spans.flatMap((first, i) => {
      if (i % 2) return [];
      const made = element("i", { className });
      Object.assign(made.style, { left: place(first), width: place(spans[i + 1] - first) });
      return [made];
    });
  }

  /** How long a track is not seen that was last seen before frame `first` and is seen again on frame `end`. */
  absence(first, end) {
    const seconds = (data.times[end] - data.times[first]).toFixed(2);
    return `absent for ${end - first} ${end - first === 1 ? "frame" : "frames"} (${seconds} s), from ${first} to ${end - 1}`;
  }

  seekTo(event, bar) {
    const { left, width } = bar.getBoundingClientRect();
    this.player.seek(Math.floor(((event.clientX - left) / width) * frames.length));
  }

  showPlace(frame) {
    $("stage").dataset.frame = frame;
    if (frame === null) return; // before the first picture
    if (frame < 0) return void ($("place").textContent = "outside of what was segmented");
    const place = `frame ${frame} of ${frames.length}, ${(data.video.begins + data.times[frame]).toFixed(2)} s`;
    $("place").textContent = place;
    $("scrubber").value = frame;
    $("scrubber").setAttribute("aria-valuetext", place);
    $("tracks").style.setProperty("--place", (frame + 0.5) / frames.length);
  }

  /** The frame as it is shown, at the video's size. */
  savePicture() {
    const canvas = element("canvas", { width: data.video.width, height: data.video.height });
    const context = canvas.getContext("2d");
    context.drawImage(this.video, 0, 0, canvas.width, canvas.height);
    context.drawImage(this.context.canvas, 0, 0, data.width, data.height);
    try {
      canvas.toBlob((blob) => {
        const link = element("a", { href: URL.createObjectURL(blob), download: `frame-${this.player.frame}.png` });
        link.click();
        URL.revokeObjectURL(link.href);
      });
    } catch {
      $("message").textContent =
        "A browser saves no picture of a video that lies beside a page on disk. Open the page from a web server.";
    }
  }

  connect() {
    const { player, video } = this;
    for (const id of ["masks", "outlines", "labels", "show-results", "show-truth", "opacity", "least-score"]) {
      $(id).addEventListener("input", () => this.redraw());
    }
    $("least-score").addEventListener("input", () => ($("least-score-value").textContent = this.leastScore.toFixed(2)));
    const buttons = {
      play: () => player.toggle(),
      back: () => player.step(-1),
      next: () => player.step(1),
      save: () => this.savePicture(),
      all: () => this.setAll(true),
      none: () => this.setAll(false),
      "help-button": () => $("help").showModal(),
    };
    for (const [id, action] of Object.entries(buttons)) $(id).addEventListener("click", action);
    $("scrubber").addEventListener("input", () => player.seek(Number($("scrubber").value)));
    $("rate").addEventListener("change", () => (video.playbackRate = Number($("rate").value)));
    const showState = () => ($("play").textContent = video.paused ? "Play" : "Pause");
    for (const name of ["play", "pause", "ended"]) video.addEventListener(name, showState);
    video.addEventListener("click", () => player.toggle());
    video.addEventListener("error", () => {
      $("message").textContent = `The video cannot be played: ${video.error.message}`;
    });
    new ResizeObserver(() => this.redraw()).observe($("stage"));
    document.addEventListener("keydown", (event) => this.press(event));
  }

  setAll(isShown) {
    this.hiddenTracks = new Set(isShown ? [] : tracks.keys());
    for (const box of document.querySelectorAll("#tracks input")) box.checked = isShown;
    this.redraw();
  }

  press(event) {
    const { player } = this;
    // Keys that the control in focus answers to itself are left to it.
    if (event.ctrlKey || event.altKey || event.metaKey || $("help").open) return;
    if (event.key === " " && event.target.closest("input, select, button, a")) return;
    if (/Arrow|Home|End/.test(event.key) && event.target.matches("input[type=range], select")) return;
    const toggle = (id) => $(id).click();
    const actions = {
      " ": () => player.toggle(),
      ArrowLeft: () => player.step(event.shiftKey ? -10 : -1),
      ArrowRight: () => player.step(event.shiftKey ? 10 : 1),
      Home: () => player.seek(0),
      End: () => player.seek(frames.length - 1),
      m: () => toggle("masks"),
      o: () => toggle("outlines"),
      l: () => toggle("labels"),
      s: () => this.savePicture(),
      "?": () => $("help").showModal(),
    };
    const tenth = () => player.seek(Math.floor((Number(event.key) * frames.length) / 10));
    const action = /^[0-9]$/.test(event.key) ? tenth : actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }
}

const viewer = new Viewer();
