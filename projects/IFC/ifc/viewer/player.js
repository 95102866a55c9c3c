// SPDX-License-Identifier: Apache-2.0
// The video, in frames.
"use strict";

class Player {
  /**
   * times: seconds of each frame that was segmented, by the video's clock.
   * onFrame(index): called for each picture that is shown; -1 where none was segmented.
   */
  constructor(video, times, onFrame) {
    const gaps = times.slice(1).map((time, i) => time - times[i]);
    this.typicalGap = [...gaps].sort((a, b) => a - b)[gaps.length >> 1] ?? 0.04;
    this.tolerance = gaps.reduce((least, gap) => Math.min(least, gap / 2), 0.002);
    Object.assign(this, { video, times, onFrame, frame: null, target: null });
    if ("requestVideoFrameCallback" in HTMLVideoElement.prototype) this.followPictures();
    else this.followClock();
  }

  /** By the time of each picture, which is exact. */
  followPictures() {
    this.video.requestVideoFrameCallback((_, picture) => {
      this.show(picture.mediaTime);
      this.followPictures();
    });
  }

  /** By the clock, which may be a frame late. */
  followClock() {
    const show = () => this.show(this.video.currentTime);
    const follow = () => {
      show();
      if (!this.video.paused) requestAnimationFrame(follow);
    };
    for (const name of ["loadeddata", "seeked", "timeupdate"]) this.video.addEventListener(name, show);
    this.video.addEventListener("play", follow);
  }

  show(time) {
    this.frame = this.frameAt(time);
    if (!this.video.seeking && this.frame >= this.target) this.target = null;
    this.onFrame(this.frame);
  }

  frameAt(time) {
    let [low, high] = [0, this.times.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.times[middle] <= time + this.tolerance) low = middle + 1;
      else high = middle;
    }
    const isPast = low === this.times.length && time > this.times[low - 1] + this.typicalGap - this.tolerance;
    return isPast ? -1 : low - 1;
  }

  /** The frame that is on its way, or shown; the nearest one where none was segmented. */
  get current() {
    if (this.target !== null) return this.target;
    if (this.frame !== null && this.frame >= 0) return this.frame;
    return this.video.currentTime < this.times[0] ? 0 : this.times.length - 1;
  }

  seek(frame) {
    this.target = Math.max(0, Math.min(this.times.length - 1, frame));
    this.video.currentTime = this.times[this.target] + this.tolerance;
  }

  step(by) {
    this.video.pause();
    this.seek(this.current + by);
  }

  async toggle() {
    if (!this.video.paused) return this.video.pause();
    if (this.current === this.times.length - 1) this.seek(0);
    await this.video.play().catch(() => {}); // that pausing it at once interrupts is no error
  }
}
