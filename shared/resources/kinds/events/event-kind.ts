/** What the two kinds of events have in common. */
export const EVENT = {
  kind: 'Event',
  versions: ['v1'],
  plural: 'events',
  singular: 'event',
  shortNames: ['ev'],
  categories: [],
  namespaced: true,
  hasOwnTable: true,
  isForApiOnly: true,
} as const;
