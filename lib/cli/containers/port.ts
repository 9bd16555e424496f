/** `tsbox port`: where ports of a container are published. @module */
import { portTexts } from "../../containers/index.ts";
import { TsboxError } from "../../sandbox/index.ts";
import { declare, type Add } from "../images/declare.ts";
import { invalid } from "../invalid.ts";
import { print } from "../print.ts";
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
        const { id, name: known } = await (await containers.get(container)).record();
        const published = ((await containers.places()).get(id) ?? []).flatMap(({ endpoint }) => portTexts(endpoint));
        if (port === undefined) return print(published.map((text) => `${lineOf(text)}\n`).join(""));
        const [, number, protocol = "tcp"] = /^(\d+)(?:\/(tcp|udp|sctp))?$/.exec(port) ?? [];
        if (number === undefined || Number(number) > 65_535)
          throw invalid("the port", port, "not understood", '"80", or "53/udp"');
        const found = published.filter((text) => text.endsWith(`->${number}/${protocol}`));
        if (found.length === 0)
          throw new TsboxError(`No public port '${number}/${protocol}' published for ${known}`, {
            code: "invalid_option",
          });
        print(found.map((text) => `${text.slice(0, text.indexOf("->"))}\n`).join(""));
      }),
  );

/** `"0.0.0.0:8080->80/tcp"` the other way round. */
const lineOf = (text: string) => text.replace(/^(.*)->(.*)$/, "$2 -> $1");
