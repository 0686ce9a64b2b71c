/* theme.js - the colours, before anything is drawn; a plain script, so that the page does not flash. */
'use strict';
{
  let theme = null;
  try { theme = localStorage.getItem('tessera.theme'); } catch { /* no storage: as the system has it */ }
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
}
