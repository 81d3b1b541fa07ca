/** What `showClip` fills its element with. */
export const MARKUP = `
<header>
  <h1 id="title"></h1>
  <p id="facts"></p>
  <div class="tools">
    <label class="switch" id="overlay-switch"><input type="checkbox" id="overlay" checked><span>2D skeleton</span></label>
    <select id="colouring" aria-label="What the colours stand for" title="What the colours stand for" hidden>
      <option value="people">By person</option><option value="sides">By side</option>
    </select>
    <select id="layout" aria-label="How the results are laid out" title="How the results are laid out" hidden>
      <option value="over">Over each other</option><option value="beside">Side by side</option>
    </select>
    <select id="follow" aria-label="What the 3D view follows" title="What the 3D view follows" hidden></select>
    <button type="button" class="icon" id="theme" aria-label="Switch between dark and light" title="Dark or light">
      <svg viewBox="0 0 24 24" aria-hidden="true"><path d="M12 3a9 9 0 1 0 0 18z" fill="currentColor"/><circle cx="12" cy="12" r="9" fill="none" stroke="currentColor" stroke-width="2"/></svg>
    </button>
    <button type="button" class="icon" id="help-open" aria-label="Keyboard and mouse help" title="Help (?)">?</button>
  </div>
</header>
<main id="main">
  <section class="pane" id="source-pane" aria-label="Source frame">
    <canvas id="source" role="img" aria-label="The frame with the 2D skeleton over it. Wheel or pinch to enlarge, drag to move, double click to reset."></canvas>
    <video id="video" muted playsinline loop preload="auto" aria-hidden="true" tabindex="-1"></video>
    <p class="caption" id="no-media" hidden>2D keypoints, no image</p>
    <p class="toast" id="media-error" hidden>This browser cannot show the picture; the poses play without it.</p>
  </section>
  <section class="pane" id="scene-pane" aria-label="3D view">
    <canvas id="scene" tabindex="0" role="img" aria-label="People in 3D. Drag to turn, wheel or pinch to zoom, right button or two fingers to move, double click to reset; with the keyboard Shift and arrow keys turn, plus and minus zoom, W A S D move."></canvas>
    <div class="views" role="group" aria-label="View">
      <button type="button" data-view="front" title="Straight from the camera (1)">Front</button>
      <button type="button" data-view="side" title="From the side (2)">Side</button>
      <button type="button" data-view="top" title="From above (3)">Top</button>
      <button type="button" data-view="home" title="Back to the first view (0, or double click)">Reset</button>
    </div>
    <ul class="legend" id="legend" aria-label="Legend"></ul>
    <p class="tilt" id="tilt" hidden>camera tilt unknown</p>
    <p class="empty" id="nobody" hidden>Nobody in this frame</p>
    <div class="tip" id="tip" role="tooltip" hidden></div>
  </section>
  <p class="empty" id="nothing" hidden>There are no joints and no keypoints to show.</p>
</main>
<section class="time" id="time" aria-label="Time">
  <button type="button" class="icon" id="back" aria-label="Previous frame" title="Previous frame (left arrow)"><svg viewBox="0 0 24 24" aria-hidden="true"><path d="M16 5v14l-9-7z" fill="currentColor"/><path d="M6 5v14" stroke="currentColor" stroke-width="2.4"/></svg></button>
  <button type="button" class="icon play" id="play" aria-label="Play" title="Play or pause (space)"><svg viewBox="0 0 24 24" aria-hidden="true"><path class="when-paused" d="M8 5v14l11-7z" fill="currentColor"/><path class="when-playing" d="M7 5h4v14H7zM13 5h4v14h-4z" fill="currentColor"/></svg></button>
  <button type="button" class="icon" id="forward" aria-label="Next frame" title="Next frame (right arrow)"><svg viewBox="0 0 24 24" aria-hidden="true"><path d="M8 5v14l9-7z" fill="currentColor"/><path d="M18 5v14" stroke="currentColor" stroke-width="2.4"/></svg></button>
  <div class="track"><input type="range" id="slider" min="0" value="0" step="1" aria-label="Frame"><canvas id="lanes" aria-hidden="true"></canvas></div>
  <div class="now"><output id="clock" for="slider"></output><span id="difference" hidden></span></div>
  <label class="speed"><span>Speed</span> <select id="speed"><option value="0.1">0.1×</option><option value="0.25">0.25×</option><option value="0.5">0.5×</option><option value="1" selected>1×</option><option value="2">2×</option><option value="4">4×</option></select></label>
</section>
<section class="question" id="question" aria-label="Which joint is nearer to the camera?">
  <div class="ask"><span class="lead">Which is nearer?</span>
    <label><b class="mark a" aria-hidden="true">A</b><span class="hidden">First joint</span><select id="joint-a"></select></label>
    <label><b class="mark b" aria-hidden="true">B</b><span class="hidden">Second joint</span><select id="joint-b"></select></label>
    <button type="button" id="clear" hidden>Clear</button>
  </div>
  <p id="answer" role="status"></p>
</section>
<dialog id="help" aria-label="Help">
  <h2>How to look around</h2>
  <dl>
    <dt>Drag, one finger</dt><dd>turn the 3D view</dd>
    <dt>Wheel, pinch, <kbd>+</kbd> <kbd>−</kbd></dt><dd>zoom, also into the picture</dd>
    <dt>Right button, Ctrl + drag, two fingers, <kbd>W</kbd> <kbd>A</kbd> <kbd>S</kbd> <kbd>D</kbd></dt><dd>move the view</dd>
    <dt>Double click, <kbd>0</kbd></dt><dd>first view again</dd>
    <dt><kbd>1</kbd> <kbd>2</kbd> <kbd>3</kbd></dt><dd>front, side, top</dd>
    <dt><kbd>Shift</kbd> + arrows</dt><dd>turn the view</dd>
    <dt><kbd>Space</kbd>, <kbd>[</kbd> <kbd>]</kbd></dt><dd>play or pause; slower, faster</dd>
    <dt><kbd>←</kbd> <kbd>→</kbd></dt><dd>one frame back or on (<kbd>Page&nbsp;Up</kbd> <kbd>Page&nbsp;Down</kbd>: a second, <kbd>Home</kbd> <kbd>End</kbd>: first, last)</dd>
    <dt>Click two joints</dt><dd>which one is nearer to the camera, <kbd>Esc</kbd> to clear</dd>
  </dl>
  <ul id="notes"></ul>
  <form method="dialog"><button>Close</button></form>
</dialog>
`;
