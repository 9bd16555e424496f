/** What is told while images come and go. @module */
import type { Digest } from "../image/index.ts";

/** What a layer is at; `bytes` of `totalBytes` are those that are stored or sent, compressed. */
export type LayerEvent =
  | { type: "layer"; digest: Digest; state: "waiting" | "exists" | "verifying" | "complete" }
  | {
      type: "layer";
      digest: Digest;
      state: "downloading" | "unpacking" | "compressing" | "uploading";
      bytes: number;
      totalBytes: number;
    }
  /** On a push: the registry has it, in this other repository. */
  | { type: "layer"; digest: Digest; state: "mounted"; from: string };

export type ImageEvent =
  /** The name is being asked for. */
  | { type: "resolving"; reference: string }
  /** The manifest that was chosen, and its layers from the bottom up. */
  | { type: "resolved"; reference: string; digest: Digest; layers: Digest[] }
  | LayerEvent
  /** An image is there, under these names. */
  | { type: "image"; id: Digest; names: string[] };

export type OnProgress = (event: ImageEvent) => void;

/** Between two events of one layer that only count bytes. */
const INTERVAL_MS = 50;

/** Counts bytes of a layer and tells them, but not for each piece. */
export function counter(
  onProgress: OnProgress | undefined,
  digest: Digest,
  state: "downloading" | "unpacking" | "compressing" | "uploading",
  totalBytes: number,
): (bytes: number) => void {
  if (!onProgress) return () => {};
  let [told, last] = [-1, -INTERVAL_MS];
  return (bytes) => {
    const now = performance.now();
    if (bytes === told || (bytes < totalBytes && now - last < INTERVAL_MS)) return;
    [told, last] = [bytes, now];
    onProgress({ type: "layer", digest, state, bytes, totalBytes });
  };
}
