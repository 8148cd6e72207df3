import { checkCoreEvent } from '../../checks/event.ts';
import { defineKind, type ResourceOf } from '../../kind.ts';
import { CoreEventBody } from '../../schema/events/event.ts';
import { eventColumns } from './event-columns.ts';
import { EVENT } from './event-kind.ts';

export const coreEvent = defineKind({
  ...EVENT,
  group: '',
  body: CoreEventBody,
  check: checkCoreEvent,
  columns: eventColumns((event) => event),
  description: 'Something that happened to an object. Events go after a time, and never reach the mesh.',
});
export type CoreEvent = ResourceOf<typeof coreEvent>;
