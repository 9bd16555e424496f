/** `tsbox network rm` @module @see https://docs.docker.com/reference/cli/docker/network/rm/ */
import { declare, type Add } from "../images/declare.ts";
import { forEach } from "../images/with-images.ts";
import { print } from "../print.ts";
import { withNetworks } from "./with-networks.ts";

export const addRm: Add = (parent, name) =>
  void declare(
    parent,
    name,
    {
      summary: "Remove networks",
      more: ". One that a container is in stays",
      usage: "[FLAGS] NETWORK [NETWORK...]",
      words: ["<NETWORK>", "[NETWORK...]"],
      flags: [["-f, --force", "One that is not there is no error"]],
    },
    (first: string, more: string[], { force = false }: { force?: boolean }) =>
      withNetworks(({ networks }) =>
        forEach([first, ...more], async (each) => {
          try {
            await networks.remove(each);
            print(`${each}\n`);
          } catch (error) {
            if (!force || (error as { code?: string }).code !== "network_not_found") throw error;
          }
        }),
      ),
  );
