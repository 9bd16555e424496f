/** What happens to containers is written down by whoever does it, or notices it. @module */
import type { Home } from "./home.ts";
import type { ContainerEvent, ContainerRecord } from "./record.ts";

/** Writes down what happened; part of the transaction that it is called in. @param event its time is now, unless it says so */
export function addEvent(
  home: Home,
  event: Omit<ContainerEvent, "time" | "sequence"> & { time?: number },
): ContainerEvent {
  const row = home.state.addEvent({ ...event, time: event.time ?? Date.now() });
  return { ...row, type: event.type };
}

/** The same of a container, with the attributes that Docker gives all of these: image, name, labels. */
export function addContainerEvent(
  home: Home,
  record: ContainerRecord,
  action: string,
  { attributes, time }: { attributes?: Record<string, string>; time?: number } = {},
): ContainerEvent {
  const { id, name, image, options } = record;
  return addEvent(home, {
    type: "container",
    action,
    id,
    attributes: { ...options.labels, ...(image ? { image: image.reference } : {}), name, ...attributes },
    ...(time === undefined ? {} : { time }),
  });
}
