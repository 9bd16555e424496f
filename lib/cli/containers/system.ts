/** `tsbox system boot`, `halt` and `unit`: containers start and end with the machine. @module */
import { declare, type Add } from "../images/declare.ts";
import { REFUSED } from "../images/with-images.ts";
import { print } from "../print.ts";
import { reportFailure } from "../report.ts";
import { safeWord } from "../safe-text.ts";
import { withContainers } from "./with-containers.ts";

export const addBoot: Add = (parent, name) =>
  void declare(
    parent,
    name,
    {
      summary: "Start the containers that are to run, after the machine has started",
      more: ': those with --restart always, and with "unless-stopped" those that nobody has stopped',
      usage: "",
    },
    () =>
      withContainers(async (containers) => {
        let status = 0;
        const started = await containers.boot((record, error) => {
          print(`${safeWord(record.name)}: `, 2);
          reportFailure(error);
          status = REFUSED;
        });
        for (const { id } of started) print(`${id}\n`);
        return status;
      }),
  );

export const addHalt: Add = (parent, name) =>
  void declare(
    parent,
    name,
    {
      summary: "Stop all containers, before the machine goes down",
      more: ", each with its own time-out; the next boot starts them again",
      usage: "",
    },
    () => withContainers((containers) => containers.halt()),
  );

export const addUnit: Add = (parent, name) =>
  void declare(
    parent,
    name,
    {
      summary: "Print a service of systemd that starts containers with the machine",
      more:
        ".\n\n  tsbox system unit >/etc/systemd/system/tsbox.service\n  systemctl enable --now tsbox" +
        "\n\n  tsbox system unit --user >~/.config/systemd/user/tsbox.service\n  systemctl --user enable --now tsbox\n  loginctl enable-linger",
      usage: "[FLAGS]",
      flags: [["--user", "One for the user's own services"]],
    },
    ({ user = false }: { user?: boolean }) =>
      withContainers(async (containers) => print(await containers.bootUnit({ user }))),
  );
