/** Waiting for conditions: tests wait for nothing else. */
export { until } from '../../deploy/local/until.ts';
