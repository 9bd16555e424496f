/** `tsbox port`: where ports of a container are published. @module */
import { TsboxError } from "../../sandbox/index.ts";
import { declare, type Add } from "../images/declare.ts";
import { invalid } from "../invalid.ts";
import { withContainers } from "./with-containers.ts";

export const addPort: Add = (parent, name) =>
  void declare(
    parent,
    name,
    {
      summary: "List the ports of a container that are published",
      usage: "CONTAINER [PORT[/PROTO]]",
      words: ["<CONTAINER>", "[PORT]"],
    },
    (container: string, port: string | undefined) =>
      withContainers(async (containers) => {
        const found = await containers.get(container);
        const { name: known } = await found.record();
        if (port === undefined) return;
        const [, number, protocol = "tcp"] = /^(\d+)(?:\/(tcp|udp|sctp))?$/.exec(port) ?? [];
        if (number === undefined || Number(number) > 65_535)
          throw invalid("the port", port, "not understood", '"80", or "53/udp"');
        // nothing is published yet by any flag of run
        throw new TsboxError(`No public port '${number}/${protocol}' published for ${known}`, {
          code: "invalid_option",
        });
      }),
  );
