import { checkNewEvent } from '../../checks/event.ts';
import { defineKind, type ResourceOf } from '../../kind.ts';
import { EventBody } from '../../schema/events/event.ts';
import { eventColumns } from './event-columns.ts';
import { toCoreGroup, toEventsGroup } from './event-form.ts';
import { EVENT } from './event-kind.ts';

export const event = defineKind({
  ...EVENT,
  group: 'events.k8s.io',
  body: EventBody,
  check: checkNewEvent,
  columns: eventColumns(toCoreGroup),
  stored: { group: '', toStored: toCoreGroup, fromStored: toEventsGroup },
  description: 'Something that happened to an object: the same events as those of core v1, in a newer form.',
});
export type Event = ResourceOf<typeof event>;
