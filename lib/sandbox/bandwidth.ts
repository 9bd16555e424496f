/** How fast a sandbox may send and receive: `limits.bandwidth`. @module */
import { show } from "../../syscalls/index.ts";
import type { WayLimits } from "../gateway/index.ts";
import type { Bandwidth } from "../network/index.ts";
import { checkKeys, checkObject, invalid } from "../options/index.ts";
import { networkNames, policyOf } from "./namespaces.ts";
import type { Limits, Rate, SandboxOptions } from "./options.ts";
import { parseSize } from "./parse.ts";

/** What a queue can be asked for. */
const [LEAST_BITS, MOST_BITS] = [8000, 1e12];
const LEAST_BURST_BYTES = 2048;
const HINT = 'bits a second, or a number with a unit: "500kbit", "10mbit", "1gbit"';

/** @returns bytes a second; undefined for `Infinity` @throws TsboxError `invalid_option` */
function parseRate(what: string, rate: Rate): number | undefined {
  if (rate === Infinity || rate === "unlimited") return undefined;
  const match = typeof rate === "string" ? /^(\d+(?:\.\d+)?)\s*([kmgt]?)bit$/i.exec(rate.trim()) : undefined;
  const bits = match ? Number(match[1]) * 1000 ** " kmgt".indexOf((match[2] || " ").toLowerCase()) : rate;
  if (typeof bits !== "number" || !Number.isFinite(bits)) throw invalid(`${what} ${show(rate)}: not understood`, HINT);
  if (bits < LEAST_BITS || bits > MOST_BITS) throw invalid(`${what} ${show(rate)}: from 8kbit to 1tbit`, HINT);
  return Math.round(bits / 8);
}

/** Undefined where nothing is limited. @throws TsboxError `invalid_option` */
export function bandwidthOf({ bandwidth }: Limits): Bandwidth | undefined {
  if (bandwidth === undefined) return undefined;
  checkObject("limits.bandwidth", bandwidth);
  checkKeys("limit of bandwidth", bandwidth, ["down", "up", "burst"]);
  const { down, up, burst } = bandwidth;
  const made: Bandwidth = {};
  const downBytes = down === undefined ? undefined : parseRate("use the bandwidth down", down);
  const upBytes = up === undefined ? undefined : parseRate("use the bandwidth up", up);
  if (down === undefined && up === undefined)
    throw invalid("limit the bandwidth: neither down nor up is named", '{ down: "10mbit", up: "2mbit" }');
  if (downBytes !== undefined) made.downBytes = downBytes;
  if (upBytes !== undefined) made.upBytes = upBytes;
  if (burst !== undefined) {
    made.burstBytes = parseSize("use the burst", burst);
    if (made.burstBytes < LEAST_BURST_BYTES || made.burstBytes > 2 ** 31)
      throw invalid(`use the burst ${show(burst)}: from 2k, which is a packet, to 2g`);
  }
  return made;
}

/** Of what is led out by a policy. @throws TsboxError `invalid_option` */
export function wayLimitsOf({ limits }: Pick<SandboxOptions, "limits">): WayLimits {
  if (!limits) return {};
  const { traffic } = limits;
  const trafficBytes = traffic === undefined ? undefined : parseSize("use the limit of traffic", traffic);
  return { ...bandwidthOf(limits), ...(trafficBytes === undefined ? {} : { trafficBytes }) };
}

/** @throws TsboxError `invalid_option` where there is nothing that could be limited */
export function checkBandwidth(options: SandboxOptions): void {
  const { limits } = options;
  if (!limits || policyOf(options)) return void wayLimitsOf(options);
  if (limits.traffic !== undefined)
    throw invalid("limit the traffic: the sandbox has no network policy", "network: {} lets out what goes anywhere");
  if (bandwidthOf(limits) !== undefined && networkNames(options).length === 0)
    throw invalid("limit the bandwidth: the sandbox is in no network of its own", 'network: "web", which has a name');
}
