/**
 * A container as `docker inspect` shows it, with every field, so that a template finds each; what has keys of its own is
 * a map, in which it finds nothing missing.
 * @module
 */
import type { ContainerInspect } from "../../containers/index.ts";
import { NO_LIST, NO_MAP, withUnsaid } from "../template/template.ts";

const map = (values: object | null | undefined) => (values ? new Map(Object.entries(values)) : NO_MAP);

/** Of Docker's lists: nothing is in them, where they are null. */
const LISTS =
  "Binds CapAdd CapDrop VolumesFrom ExtraHosts GroupAdd Links SecurityOpt DeviceCgroupRules DeviceRequests Ulimits Devices BlkioWeightDevice BlkioDeviceReadBps BlkioDeviceWriteBps BlkioDeviceReadIOps BlkioDeviceWriteIOps Env Cmd Entrypoint OnBuild Aliases DNSNames SecondaryIPAddresses SecondaryIPv6Addresses ExecIDs".split(
    " ",
  );

const withLists = <T extends object>(data: T): T => {
  const empty = LISTS.filter((name) => (data as Record<string, unknown>)[name] === null);
  return { ...data, ...Object.fromEntries(empty.map((name) => [name, NO_LIST])) };
};

/** For a template, or JSON. */
export function inspectedContainer(container: ContainerInspect): object {
  const { State, HostConfig, GraphDriver, Config, Mounts, NetworkSettings } = container;
  const networks = Object.entries(NetworkSettings.Networks).map(([name, end]) => [
    name,
    {
      ...withLists(end),
      IPAMConfig: end.IPAMConfig && withUnsaid(end.IPAMConfig, { IPv4Address: "", IPv6Address: "" }),
      DriverOpts: map(end.DriverOpts),
    },
  ]);
  const whole = {
    ...withLists(container),
    State: withUnsaid(State, { Health: null }),
    HostConfig: withUnsaid(
      {
        ...withLists(HostConfig),
        LogConfig: { ...HostConfig.LogConfig, Config: map(HostConfig.LogConfig.Config) },
        PortBindings: map(HostConfig.PortBindings),
        Annotations: map(HostConfig.Annotations),
        Tmpfs: map(HostConfig.Tmpfs),
        Sysctls: map(HostConfig.Sysctls),
      },
      { StorageOpt: NO_MAP, Init: null },
    ),
    GraphDriver: { ...GraphDriver, Data: map(GraphDriver.Data) },
    Mounts: Mounts.map((mount) => withUnsaid(mount, { Name: "", Driver: "" })),
    Config: withUnsaid(
      {
        ...withLists(Config),
        ...(Config.ExposedPorts ? { ExposedPorts: map(Config.ExposedPorts) } : {}),
        Volumes: map(Config.Volumes),
        Labels: map(Config.Labels),
      },
      { ExposedPorts: NO_MAP, Healthcheck: null, MacAddress: "", StopTimeout: null, Shell: NO_LIST },
    ),
    NetworkSettings: {
      ...withLists(NetworkSettings),
      Ports: map(NetworkSettings.Ports),
      Networks: map(Object.fromEntries(networks)),
    },
  };
  return withUnsaid(whole, { SizeRw: null, SizeRootFs: null });
}
