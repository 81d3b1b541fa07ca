/** Time: which frame is shown, with the video (or a clock where there is none) as the master. */

/** Plays F frames; calls `show(frame)` whenever the frame to draw changes and `state(playing)` on play and pause. */
export class Player {
  constructor(clip, video, { show, state }) {
    this.clip = clip;
    this.video = video;
    this.show = show;
    this.state = state;
    this.frame = 0;
    this.elapsed = 0;
    this.playing = false;
    this.speed = 1;
    this.stamps = (video && clip.mediaTime) || clip.time;
    const gaps = this.stamps.slice(1).map((t, i) => t - this.stamps[i]).sort((a, b) => a - b);
    this.step = gaps.length ? gaps[gaps.length >> 1] : 1 / 30;
    if (video) this.listen();
  }

  /** Seconds from the first frame to the end of the last. */
  get duration() {
    return this.stamps[this.stamps.length - 1] - this.stamps[0] + this.step;
  }

  listen() {
    const { video } = this;
    video.addEventListener("seeked", () => {
      if (this.sought === this.frame || this.playing) this.show(this.frame);
      else this.seek(this.frame);
    });
    video.addEventListener("play", () => this.watch());
    const shown = (seconds) => {
      if (!this.playing) return;
      this.frame = this.clip.frameAt(seconds - this.stamps[0], this.stamps);
      this.show(this.frame);
    };
    this.watch = () => {
      if (!this.playing) return;
      if ("requestVideoFrameCallback" in video)
        video.requestVideoFrameCallback((_, { mediaTime }) => (shown(mediaTime), this.watch()));
      else requestAnimationFrame(() => (shown(video.currentTime), this.watch()));
    };
  }

  play() {
    if (this.playing || this.clip.frames < 2) return;
    this.playing = true;
    this.state(true);
    if (this.video) {
      this.video.playbackRate = this.speed;
      this.video.play().catch(() => this.pause());
      return;
    }
    let before = performance.now();
    const tick = (now) => {
      if (!this.playing) return;
      this.elapsed = (this.elapsed + (Math.max(0, now - before) / 1000) * this.speed) % this.duration;
      before = now;
      const frame = this.clip.frameAt(this.elapsed, this.stamps);
      if (frame !== this.frame) this.show((this.frame = frame));
      requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  }

  pause() {
    if (!this.playing) return;
    this.playing = false;
    this.state(false);
    if (this.video) {
      this.video.pause();
      this.seek(this.frame);
    }
  }

  toggle() {
    this.playing ? this.pause() : this.play();
  }

  /** Show a frame; the video is sought to the middle of its time on screen, where no rounding can miss it. */
  seek(frame) {
    this.frame = Math.min(this.clip.frames - 1, Math.max(0, frame));
    const start = this.stamps[this.frame];
    this.elapsed = start - this.stamps[0];
    if (this.video && !this.video.seeking) {
      const end = this.stamps[this.frame + 1] ?? start + this.step;
      this.video.currentTime = (start + end) / 2;
      this.sought = this.frame;
    }
    this.show(this.frame);
  }

  setSpeed(speed) {
    this.speed = speed;
    if (this.video) this.video.playbackRate = speed;
  }
}
