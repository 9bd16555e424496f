/** `tsbox network inspect` @module @see https://docs.docker.com/reference/cli/docker/network/inspect/ */
import { declare, type Add } from "../images/declare.ts";
import { INSPECT_FORMAT, printInspected } from "../print-inspected.ts";
import { inspectedNetwork, withNetworks } from "./with-networks.ts";

export const addInspect: Add = (parent, name) =>
  void declare(
    parent,
    name,
    {
      summary: "Print all that is known of networks",
      usage: "[FLAGS] NETWORK [NETWORK...]",
      words: ["<NETWORK>", "[NETWORK...]"],
      flags: [INSPECT_FORMAT],
    },
    (first: string, more: string[], { format }: { format?: string }) =>
      withNetworks(({ networks }) =>
        printInspected([first, ...more], format, async (each) => inspectedNetwork(await networks.named(each))),
      ),
  );
