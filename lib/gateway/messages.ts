/** What the thread of a program and the gateway's own tell each other. @module */
import type { Denial, Question, Rules, Verdict } from "../policy/index.ts";

/** Listening sockets in the namespace that everything leads to, and the raw ones that answer from any address. */
export interface WaySockets {
  tcp: number[];
  udp: number[];
  raw4: number;
  raw6?: number;
}

export interface WaySettings {
  rules: Rules | undefined;
  /** Unix sockets that are connected to instead of addresses. */
  handlers: Record<string, string>;
  /** Of connections and flows at a time. */
  maxDescriptors: number;
}

/** Where what comes to a published port is connected to, in the namespace. */
export interface Target {
  address: Uint8Array;
  port: number;
}

export type ToGateway =
  | { kind: "attach"; way: number; sockets: WaySockets; settings: WaySettings }
  | { kind: "update"; way: number; settings: WaySettings }
  | { kind: "detach"; way: number }
  | { kind: "answer"; way: number; question: number; verdict: Verdict }
  | { kind: "publish"; port: number; listener: number; target: Target }
  | { kind: "unpublish"; port: number }
  /** Unconnected sockets of the namespace. */
  | { kind: "sockets"; port: number; fds: number[] };

export type FromGateway =
  | { kind: "ready"; waker: number }
  | { kind: "failed"; message: string }
  | { kind: "ask"; way: number; question: number; asked: Question }
  | { kind: "denied"; way: number; denials: Denied[] }
  /** Nothing more is told of it. */
  | { kind: "detached"; way: number }
  /** A published port needs so many more sockets. */
  | { kind: "wanted"; port: number; count: number };

export type Denied = Denial & { count: number };
