/** The way out of one network namespace. @module */
import * as sys from "../../syscalls/index.ts";
import type { DatagramReceiver, DatagramSender, Peer } from "../../syscalls/index.ts";
import { DNS_PORT } from "../dns/index.ts";
import type { Loop } from "../loop/index.ts";
import type { Flow, Verdict } from "../policy/index.ts";
import type { Budget } from "./budget.ts";
import { DeniedNames } from "./denied-names.ts";
import { Denials } from "./denials.ts";
import { Flows } from "./flows.ts";
import { decideFlow, Questions, type IsOwn } from "./judge.ts";
import type { FamilySockets, FromGateway, Traffic, WaySettings, WaySockets } from "./messages.ts";
import { addressOfBytes, contains, parseSubnet, type Subnet } from "../ip/index.ts";
import { Meter } from "./meter.ts";
import { Names } from "./names.ts";
import type { Direction } from "./pace.ts";
import { Pins } from "./pins.ts";
import type { Holder, Pipes } from "./pipes.ts";
import { Streams } from "./streams.ts";

/** What all ways share. */
export interface Shared {
  loop: Loop;
  pipes: Pipes;
  receiver: DatagramReceiver;
  sender: DatagramSender;
  budget: Budget;
  isOwn: IsOwn;
  tell: (message: FromGateway) => void;
  /** To be told of what is opened, and neither watched by the loop nor closed at once. */
  hold: (fd: number) => void;
}

export class Way {
  readonly loop: Loop;
  readonly pipes: Pipes;
  readonly receiver: DatagramReceiver;
  readonly sender: DatagramSender;
  readonly isOwn: IsOwn;
  readonly hold: Shared["hold"];
  readonly sockets: WaySockets;
  readonly pins = new Pins();
  readonly questions: Questions;
  readonly names: Names;
  settings: WaySettings;
  /** Of all its connections' pipes. */
  readonly holder: Holder = { pages: 0 };
  isClosed = false;
  readonly #budget: Budget;
  readonly #denials: Denials;
  readonly #meter: Meter;
  readonly #deniedNames: DeniedNames;
  readonly #streams: Streams;
  readonly #flows: Flows;
  #near: Subnet[];
  #used = 0;

  constructor(way: number, sockets: WaySockets, settings: WaySettings, shared: Shared, before?: Traffic) {
    ({ loop: this.loop, pipes: this.pipes, receiver: this.receiver, sender: this.sender, isOwn: this.isOwn } = shared);
    this.hold = shared.hold;
    this.#budget = shared.budget;
    this.sockets = sockets;
    this.settings = settings;
    this.#near = settings.near.map(parseSubnet);
    this.questions = new Questions((question, asked) => shared.tell({ kind: "ask", way, question, asked }));
    this.#denials = new Denials(shared.loop, (denials) => shared.tell({ kind: "denied", way, denials }));
    const tellTraffic = (traffic: Traffic) => shared.tell({ kind: "traffic", way, traffic });
    this.#meter = new Meter(shared.loop, settings.limits, tellTraffic, before);
    this.names = new Names(this);
    this.#deniedNames = new DeniedNames(shared.loop, (name, found) => this.names.lookUp(name, found));
    this.#deniedNames.update(settings.rules);
    this.#streams = new Streams(this);
    this.#flows = new Flows(this);
  }

  close(): void {
    this.isClosed = true;
    this.#streams.close();
    this.#flows.close();
    this.#deniedNames.close();
    this.names.close();
    this.flush();
    for (const { raw } of this.families) sys.close(raw);
  }

  /** What is connected already is judged again. */
  update(settings: WaySettings): void {
    this.settings = settings;
    this.#meter.limit(settings.limits);
    this.#near = settings.near.map(parseSubnet);
    this.#deniedNames.update(settings.rules);
    this.#streams.judgeAgain();
    this.#flows.judgeAgain();
  }

  /** Whether what goes there is held back. */
  isAway(address: Uint8Array): boolean {
    const found = addressOfBytes(address);
    return !this.#near.some((subnet) => contains(subnet, found));
  }

  asksNames = ({ port }: Peer): boolean => this.settings.answersNames && port === DNS_PORT;

  get families(): FamilySockets[] {
    const { 4: v4, 6: v6 } = this.sockets;
    return v6 ? [v4, v6] : [v4];
  }

  /** Names that have led to an address, the latest first. @param before others that are known to have */
  namesOf(ip: string, before: readonly string[] = []): string[] {
    return [...new Set([...this.pins.namesOf(ip), ...before])];
  }

  /** Sends a packet into the namespace, as if it came from where it says. */
  inject(to: Uint8Array, packet: Uint8Array): boolean {
    const sockets = this.sockets[to.length === 4 ? 4 : 6];
    if (!sockets) return false;
    this.sender.add(packet, { address: to, port: 0 });
    return this.sender.send(sockets.raw) > 0;
  }

  /** Whoever is asked may take a while: an answer by rules that have been replaced meanwhile is none. */
  judge(flow: Flow, judged: (verdict: Verdict) => void): void {
    this.#deniedNames.whenKnown(() => this.#judge(flow, judged));
  }

  #judge(flow: Flow, judged: (verdict: Verdict) => void): void {
    const { settings } = this;
    const decision = decideFlow(settings, { ...flow, denied: this.#deniedNames.namesOf(flow.ip) }, this.isOwn);
    if (decision !== "ask") return judged(decision);
    this.questions.ask(flow, (verdict) => (settings === this.settings ? judged(verdict) : this.judge(flow, judged)));
  }

  /** Tells what was denied until now, and what went in and out. */
  flush(): void {
    this.#denials.flush();
    this.#meter.flush();
  }

  /** So many descriptors for this sandbox, where it may have them. */
  take(count: number): boolean {
    if (this.#used + count > this.settings.maxDescriptors || !this.#budget.take(count, this.#used)) return false;
    this.#used += count;
    return true;
  }

  give(count: number): void {
    this.#used -= count;
    this.#budget.give(count);
  }

  denied({ protocol, ip, port, names: [host] }: Flow, { rule }: Verdict): void {
    this.#denials.add({ protocol, ip, port, rule, ...(host !== undefined && { host }) });
  }

  /** @param ip with which it was answered */
  deniedName(host: string, rule: string, ip?: string): void {
    this.#denials.add({ protocol: "dns", host, ...(ip !== undefined && { ip }), rule });
  }

  /** What may go in or out now. */
  readonly left = (direction: Direction): number => this.#meter.left(direction);

  fits(direction: Direction, bytes: number): boolean {
    return this.#meter.fits(direction, bytes);
  }

  /** Counts what goes in and out. */
  readonly moved = (direction: Direction, bytes: number): void => this.#meter.moved(direction, bytes);
}
