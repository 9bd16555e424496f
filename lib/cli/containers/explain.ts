/** `tsbox explain`: what a container is made of, for somebody who has just learnt what one is. @module */
import { declare, type Add } from "../images/declare.ts";
import { print } from "../print.ts";
import { jsonOf, valueOf } from "../template/template.ts";
import { explanationText } from "./explanation-text.ts";
import { withContainers } from "./with-containers.ts";

const INDENT = 2;

export const addExplain: Add = (parent, name) =>
  void declare(
    parent,
    name,
    {
      summary: "Tell what a container is made of",
      more:
        ", as the kernel says it: processes, namespaces, control groups, files, rights, network,\n" +
        "and who looks after it; or, where it does not run, what is kept of it",
      usage: "[FLAGS] CONTAINER",
      words: ["<CONTAINER>"],
      flags: [["--json", "The same as JSON, with more of it"]],
    },
    (container: string, { json = false }: { json?: boolean }) =>
      withContainers(async (containers) => {
        const explanation = await (await containers.get(container)).explain();
        print(json ? `${jsonOf(valueOf(explanation), INDENT)}\n` : explanationText(explanation, Date.now()));
      }),
  );
