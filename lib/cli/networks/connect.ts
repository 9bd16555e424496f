/** `tsbox network connect` and `disconnect` @module @see https://docs.docker.com/reference/cli/docker/network/connect/ */
import { declare, type Add } from "../images/declare.ts";
import { withNetworks } from "./with-networks.ts";

interface ConnectFlags {
  alias?: string[];
  ip?: string;
  ip6?: string;
}

const WORDS = ["<NETWORK>", "<CONTAINER>"];

export const addConnect: Add = (parent, name) =>
  void declare(
    parent,
    name,
    {
      summary: "Put a container into one more network",
      more: ", also while it runs",
      usage: "[FLAGS] NETWORK CONTAINER",
      words: WORDS,
      flags: [
        ["--alias <NAME>...", "What others there know it by as well"],
        ["--ip <ADDRESS>", "That it has there"],
        ["--ip6 <ADDRESS>", "That of version 6"],
      ],
    },
    (network: string, container: string, { alias, ip, ip6 }: ConnectFlags) =>
      withNetworks(async ({ containers }) => {
        const addresses = [ip, ip6].filter((text) => text !== undefined);
        await containers.connect(network, container, {
          ...(alias ? { aliases: alias } : {}),
          ...(addresses.length > 0 ? { addresses } : {}),
        });
      }),
  );

export const addDisconnect: Add = (parent, name) =>
  void declare(
    parent,
    name,
    {
      summary: "Take a container out of a network",
      more: ", also while it runs",
      usage: "[FLAGS] NETWORK CONTAINER",
      words: WORDS,
      flags: [["-f, --force", "One that is not there is no error"]],
    },
    (network: string, container: string, { force = false }: { force?: boolean }) =>
      withNetworks(({ containers }) => containers.disconnect(network, container, force)),
  );
