/** Schemas of Events: core/v1 (kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1) and events.k8s.io/v1. */
import * as z from 'zod';
import { ObjectReference } from '../core.ts';
import { integer, object, string } from '../vocabulary.ts';

/** RFC 3339; fractions of a second are kept. */
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/;
const time = (says: string) => string({ pattern: TIME }).describe(`${says}, RFC 3339.`).optional();

const source = (says: string) =>
  object({
    component: string().describe('Component that the event is of.'),
    host: string().describe('Host on which it was made.'),
  })
    .describe(says)
    .optional();

/** Fields that have the same name in both groups. */
const shared = {
  reason: string().describe('Why, for programs: one word, as FailedMount.').optional(),
  type: string().describe('Normal or Warning; further types may come.').optional(),
  action: string().describe('What was done, or failed.').optional(),
  eventTime: time('When it was first seen, with microseconds'),
  series: object({
    count: integer().describe('How often it was seen.'),
    lastObservedTime: string({ pattern: TIME }).describe('When it was last seen, RFC 3339 with microseconds.'),
  })
    .describe('How often the same was seen.')
    .optional(),
  related: ObjectReference.describe('A further object that the event is about.').optional(),
  reportingInstance: string().describe('Instance of the controller that made the event.').optional(),
};

export const CoreEventBody = z.strictObject({
  ...shared,
  involvedObject: ObjectReference.describe('The object that the event is about.'),
  message: string().describe('What happened, for people.').optional(),
  source: source('What made the event.'),
  firstTimestamp: time('When it was first seen'),
  lastTimestamp: time('When it was last seen'),
  count: integer().describe('How often it was seen.').optional(),
  reportingComponent: string().describe('Controller that made the event, as tulle.dev/control.').optional(),
});
export type CoreEventBody = z.infer<typeof CoreEventBody>;

export const EventBody = z.strictObject({
  ...shared,
  regarding: ObjectReference.describe('The object that the event is about.').optional(),
  note: string({ max: 1024 }).describe('What happened, for people.').optional(),
  reportingController: string().describe('Controller that made the event, as tulle.dev/control.').optional(),
  deprecatedSource: source('Of an event of core/v1: what made it.'),
  deprecatedFirstTimestamp: time('Of an event of core/v1: when it was first seen'),
  deprecatedLastTimestamp: time('Of an event of core/v1: when it was last seen'),
  deprecatedCount: integer().describe('Of an event of core/v1: how often it was seen.').optional(),
});
export type EventBody = z.infer<typeof EventBody>;
