/** What all that is copied gets, whatever it was. @module */
import type { ModeChange } from "./mode.ts";
import type { Owner } from "./owner.ts";

export interface Style {
  owner: Owner | undefined;
  mode: ModeChange | undefined;
  /** Seconds: nothing is newer. */
  latest: number | undefined;
}
