// SPDX-License-Identifier: Apache-2.0
// Masks from COCO's compressed RLE, which counts pixels down the columns, painted in that order.
"use strict";

const CACHE_NUMBERS = 1 << 24; // of spans that are kept, 64 MB

/** The spans of a mask's pixels, [first, end, first, end, ...], none of which leaves its column. */
function decodeSpans(counts, height) {
  const spans = [];
  const runs = [];
  let place = 0;
  let pixel = 0;
  while (place < counts.length) {
    let run = 0;
    let shift = 0;
    let code;
    do {
      code = counts.charCodeAt(place++) - 48;
      run |= (code & 31) << shift;
      shift += 5;
    } while (code & 32);
    if (code & 16) run |= -1 << shift;
    if (runs.length > 2) run += runs[runs.length - 2];
    runs.push(run);
    const end = pixel + run;
    if (runs.length % 2) pixel = end;
    while (pixel < end) {
      const stop = Math.min(end, pixel - (pixel % height) + height);
      spans.push(pixel, stop);
      pixel = stop;
    }
  }
  return spans;
}

/** The box of a mask's largest piece, where its label goes. */
function largestPiece(spans, height) {
  const pieces = [];
  let [before, column, last] = [[], [], -1]; // the column before this one, this one, and its number
  for (let i = 0; i < spans.length; i += 2) {
    const x = Math.floor(spans[i] / height);
    const [top, bottom] = [spans[i] - x * height, spans[i + 1] - x * height];
    if (x !== last) [before, column, last] = [x === last + 1 ? column : [], [], x];
    let piece = { area: 0, left: x, top: height, bottom: 0 };
    pieces.push(piece);
    for (const other of before.filter((other) => other.top < bottom && top < other.bottom)) {
      let joined = other.piece;
      while (joined.into) joined = joined.into;
      if (joined === piece) continue;
      piece.into = joined;
      joined.area += piece.area;
      joined.left = Math.min(joined.left, piece.left);
      joined.top = Math.min(joined.top, piece.top);
      joined.bottom = Math.max(joined.bottom, piece.bottom);
      piece = joined;
    }
    piece.area += bottom - top;
    piece.right = x + 1;
    piece.top = Math.min(piece.top, top);
    piece.bottom = Math.max(piece.bottom, bottom);
    column.push({ top, bottom, piece });
  }
  return pieces.filter((piece) => !piece.into).reduce((a, b) => (b.area > a.area ? b : a));
}

/** Decodes masks when they are first asked for, and keeps those of late. */
class MaskCache {
  constructor(height, width) {
    this.height = height;
    this.width = width;
    this.thickness = Math.max(1, Math.round(Math.min(height, width) / 240)); // of outlines
    this.scratch = new Uint8Array(height * width);
    this.kept = new Map();
    this.size = 0;
  }

  /** A mask's spans, those of its outline, which lies inside it, its columns, and the box of its largest piece. */
  get(key, counts) {
    let mask = this.kept.get(key);
    if (!mask) {
      mask = this.trace(counts);
      this.kept.set(key, mask);
      this.size += mask.fill.length + mask.edge.length;
      for (const [oldest, old] of this.kept) {
        if (this.size <= CACHE_NUMBERS || oldest === key) break;
        this.kept.delete(oldest);
        this.size -= old.fill.length + old.edge.length;
      }
    }
    return mask;
  }

  trace(counts) {
    const { height, width, scratch } = this;
    const fill = decodeSpans(counts, height);
    const reach = this.thickness * height;
    const last = (width - this.thickness) * height;
    for (let i = 0; i < fill.length; i += 2) scratch.fill(1, fill[i], fill[i + 1]);
    const edge = [];
    for (let i = 0; i < fill.length; i += 2) {
      const [first, end] = [fill[i], fill[i + 1]];
      const upper = Math.min(end, first + this.thickness);
      const lower = Math.max(upper, end - this.thickness);
      let start = first; // of the part of the outline that is being followed
      for (let pixel = upper; pixel < lower; pixel++) {
        const isInside = pixel >= reach && pixel < last && scratch[pixel - reach] && scratch[pixel + reach];
        if (isInside && start >= 0) {
          edge.push(start, pixel);
          start = -1;
        } else if (!isInside && start < 0) {
          start = pixel;
        }
      }
      edge.push(start < 0 ? lower : start, end);
    }
    for (let i = 0; i < fill.length; i += 2) scratch.fill(0, fill[i], fill[i + 1]);
    const [left, right] = [fill[0] ?? 0, (fill.at(-1) ?? 0) + height - 1].map((pixel) => Math.floor(pixel / height));
    return { fill: Int32Array.from(fill), edge: Int32Array.from(edge), left, right, piece: largestPiece(fill, height) };
  }
}

/** A picture of masks, kept on its side: a column of the video is a row of it, so that a span is filled at once. */
class MaskPicture {
  constructor(height, width) {
    this.canvas = Object.assign(document.createElement("canvas"), { width: height, height: width });
    this.context = this.canvas.getContext("2d");
    this.image = new ImageData(height, width);
    this.words = new Uint32Array(this.image.data.buffer);
    this.used = [0, 0]; // columns
  }

  /** Paint masks, the last one in front: of each its spans, [red, green, blue], the opacity of its inside, and whether
   * it has an outline, which may be dashed. */
  paint(masks) {
    const { width: height, height: width } = this.image;
    const before = this.used;
    this.words.fill(0, before[0] * height, before[1] * height);
    this.used = [width, 0];
    for (const { mask, color, inside, hasOutline, isDashed } of masks) {
      if (inside) this.fill(mask.fill, color, inside);
      if (hasOutline) this.fill(isDashed ? this.dashes(mask.edge) : mask.edge, color, 1);
      this.used = [Math.min(this.used[0], mask.left), Math.max(this.used[1], mask.right)];
    }
    if (this.used[1] <= this.used[0]) this.used = [0, 0];
    const [first, end] = [Math.min(before[0], this.used[0]), Math.max(before[1], this.used[1])];
    if (end > first) this.context.putImageData(this.image, 0, 0, 0, first, height, end - first);
  }

  fill(spans, [red, green, blue], opacity) {
    const word = ((Math.round(255 * opacity) << 24) | (blue << 16) | (green << 8) | red) >>> 0;
    for (let i = 0; i < spans.length; i += 2) this.words.fill(word, spans[i], spans[i + 1]);
  }

  dashes(spans) {
    const { width: height } = this.image;
    const length = Math.max(3, height >> 6);
    const dashes = [];
    for (let i = 0; i < spans.length; i += 2) {
      for (let pixel = spans[i]; pixel < spans[i + 1]; pixel++) {
        const along = Math.floor(pixel / height) + (pixel % height);
        if (Math.floor(along / length) % 2) dashes.push(pixel, pixel + 1);
      }
    }
    return dashes;
  }

  /** Draw it upright onto a canvas, at the size of that. */
  drawOn(context) {
    const { width, height } = context.canvas;
    context.imageSmoothingEnabled = width < 2 * this.canvas.height; // pixels of a small video are shown as they are
    context.setTransform(0, height / this.canvas.width, width / this.canvas.height, 0, 0, 0);
    context.drawImage(this.canvas, 0, 0);
    context.setTransform(1, 0, 0, 1, 0, 0);
  }
}

/** Write { text, mask, color } above each mask's largest piece, else below, else in it, where no other label is. The
 * masks are those of a frame of some width and height; the canvas may have another size. */
function drawLabels(context, labels, frameWidth, frameHeight) {
  const { width, height } = context.canvas;
  const size = 13 * devicePixelRatio;
  const high = 1.4 * size;
  const placed = [];
  context.font = `600 ${size}px system-ui, sans-serif`;
  for (const { text, mask, color } of labels) {
    const wide = context.measureText(text).width + 0.6 * size;
    const [top, bottom] = [mask.piece.top, mask.piece.bottom].map((y) => (y / frameHeight) * height);
    const middle = ((mask.piece.left + mask.piece.right) / 2 / frameWidth) * width;
    const x = Math.max(0, Math.min(width - wide, middle - wide / 2));
    const spots = [top - high, bottom, top, top + high].filter((y) => y >= 0 && y + high <= height);
    const isBeside = (other) => other.x + other.wide <= x || x + wide <= other.x;
    const isFree = (y) => placed.every((other) => isBeside(other) || Math.abs(other.y - y) >= high);
    const y = spots.find(isFree) ?? spots[0] ?? 0;
    placed.push({ x, y, wide });
    context.fillStyle = "rgb(0 0 0 / 70%)";
    context.fillRect(x, y, wide, high);
    context.fillStyle = `rgb(${color})`;
    context.fillRect(x, y, size / 5, high);
    context.fillStyle = "white";
    context.fillText(text, x + 0.4 * size, y + size);
  }
}
