/** `tsbox logout`: credentials are forgotten. @module */
import { print } from "../print.ts";
import { warn } from "../report.ts";
import { declare, type Add } from "./declare.ts";
import { domainOf } from "./login.ts";
import { safely } from "./with-images.ts";

export const addLogout: Add = (parent, name) =>
  void declare(
    parent,
    name,
    {
      summary: "Log out from a registry",
      more: ", Docker Hub unless one is named",
      usage: "[SERVER]",
      words: ["[SERVER]"],
    },
    (server: string | undefined) =>
      safely(async () => {
        const domain = domainOf(server);
        const { CredentialFiles, logout } = await import("../../registry/index.ts");
        const files = new CredentialFiles();
        const wasThere = await logout(domain, files);
        print(wasThere ? `Removing login credentials for ${domain}\n` : `Not logged in to ${domain}\n`);
        const others = files.findElsewhere(domain);
        if (others !== undefined)
          warn([`credentials for ${domain} are still in ${JSON.stringify(others)}, of another tool`]);
      }),
  );
