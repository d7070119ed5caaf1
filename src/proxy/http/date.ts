/** The Date header of an answer that has none (RFC 9110, section 6.6.1), put in words once a second. */

let second = 0;
let text = '';

export function httpDate(): string {
  const now = Math.floor(Date.now() / 1000);
  if (now !== second) {
    second = now;
    text = `Date: ${new Date(now * 1000).toUTCString()}\r\n`;
  }
  return text;
}
