/** Steps of a build: what is to be done to a filesystem, and to which one. @module */
import type { Pair, Place, RunMount } from "../dockerfile/index.ts";

/** Where files come from. */
export type Source =
  /** Undefined: that of the build. */
  | { kind: "context"; name: string | undefined }
  /** What a step has made. */
  | { kind: "step"; step: number };

export interface BaseOperation {
  kind: "base";
  /** Of an image; undefined: `scratch`. */
  reference: string | undefined;
  platform: string | undefined;
}

export interface StepMount extends Omit<RunMount, "text"> {
  /** Of `bind` and `cache`. */
  files?: Source;
}

export interface RunOperation {
  kind: "run";
  /** What is executed. */
  words: string[];
  /** A here-document that is executed as a file. */
  script?: { name: string; content: string };
  /** The image's, and the build arguments that count. */
  env: Pair[];
  /** Empty: root. */
  user: string;
  directory: string;
  mounts: StepMount[];
  network: "default" | "none" | "host";
  /** Lines of /etc/hosts that were asked for: `name:address`. */
  hosts: string[];
  security: "sandbox" | "insecure";
}

export interface CopyOperation {
  kind: "copy";
  source: Source;
  sources: string[];
  /** Of ADD. */
  urls: string[];
  checksum?: string;
  keepGitDir: boolean;
  /** Here-documents. */
  files: { name: string; content: string }[];
  destination: string;
  directory: string;
  chown?: string;
  chmod?: string;
  link: boolean;
  parents: boolean;
  exclude: string[];
  /** Archives: undefined, those that are local. */
  unpack: "none" | "local" | "all";
}

export interface DirectoryOperation {
  kind: "directory";
  path: string;
  user: string;
}

export type Operation = BaseOperation | RunOperation | CopyOperation | DirectoryOperation;

export interface Step {
  /** Its place in {@link Graph.steps}. */
  number: number;
  title: string;
  /** Its name. */
  stage: string;
  /** Undefined for what nobody has written. */
  place?: Place;
  /** Whose filesystem it goes on from. */
  parent?: number;
  /** All that has to be there before, the parent among them. */
  after: number[];
  operation: Operation;
  /** As it stands in the file. */
  text: string;
}
