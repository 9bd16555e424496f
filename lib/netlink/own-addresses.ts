/**
 * Which addresses are this machine's, as its routes say it now: of all its devices, and of what is sent to itself.
 * @module
 * @see rtnetlink(7) RTM_GETROUTE
 */
import { Netlink, netlinkAttribute, netlinkBody } from "../../syscalls/index.ts";
import { bitsOf, bytesOfAddress, type Address } from "../ip/index.ts";

const RTM_GETROUTE = 26;
const RTA_DST = 1;
const [AF_INET, AF_INET6] = [2, 10];
/** Offset of `rtm_type` in `struct rtmsg`, and its value for what goes nowhere else. */
const [TYPE_AT, ROUTE_BYTES, RTN_UNICAST] = [7, 12, 1];

/** In the network namespace of the thread that makes it. */
export class OwnAddresses implements Disposable {
  readonly #netlink = new Netlink();

  get descriptor(): number {
    return this.#netlink.descriptor;
  }

  /** Also true of broadcast addresses, and of those that routes blackhole: what is not somebody else's alone. */
  has(address: Address): boolean {
    const header = new Uint8Array(ROUTE_BYTES);
    header.set([address.family === 4 ? AF_INET : AF_INET6, bitsOf(address.family)]);
    const body = netlinkBody(header, netlinkAttribute(RTA_DST, bytesOfAddress(address)));
    const route = this.#netlink.ask(RTM_GETROUTE, body);
    // there is no way to it, which whoever connects is told
    if (typeof route === "number") return false;
    return route[TYPE_AT] !== RTN_UNICAST;
  }

  [Symbol.dispose](): void {
    this.#netlink[Symbol.dispose]();
  }
}
