/**
 * How fast a container may send and receive in a network: at the host's end of its cable, which it does not reach.
 * @module
 */
import {
  burstFor,
  divertRequests,
  shapeRequest,
  undivertRequest,
  unshapeRequest,
  type Links,
} from "../netlink/index.ts";
import type { Bandwidth } from "./record.ts";

/** The device that what it sends goes through. @param device the host's end of its cable */
export const throughDevice = (device: string): string => `tsu${device.slice(3)}`;

/** From now on; may be done again. @throws TsboxError `limit_unavailable`, `unsupported` */
export function setBandwidth(links: Links, device: string, { downBytes, upBytes, burstBytes }: Bandwidth): void {
  const action = `limit the bandwidth of ${device}`;
  const shapeOf = (rateBytes: number) => ({ rateBytes, burstBytes: burstBytes ?? burstFor(rateBytes) });
  const index = links.indexOf(device);
  links.shape(action, [downBytes === undefined ? unshapeRequest(index) : shapeRequest(index, shapeOf(downBytes))]);
  const name = throughDevice(device);
  const through = links.find(name);
  if (upBytes === undefined) {
    links.shape(action, [undivertRequest(index)]);
    if (through?.kind === "ifb") links.remove(through.index);
    return;
  }
  if (!through) links.addIfb(name);
  const found = through ?? links.find(name);
  if (!found) return;
  links.shape(action, [shapeRequest(found.index, shapeOf(upBytes))]);
  // it is brought up last: then what comes is led there already
  if (found.up) return;
  links.shape(action, [undivertRequest(index), ...divertRequests(index, found.index)]);
  links.bringUp(name, action);
}
