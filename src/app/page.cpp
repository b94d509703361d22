#include "app/page.hpp"

namespace millrace::app {

std::string_view status_page() {
  return R"html(<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Millrace</title><link rel="icon" href="data:,">
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
 body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:64rem;padding:0 1rem;color:#1c2430;background:#fff}
 h1{font-size:1.3rem;margin:0 0 1rem} h2{font-size:1rem;margin:1.6rem 0 .4rem;color:#556}
 table{border-collapse:collapse;width:100%} td,th{padding:.35rem .6rem;text-align:left;border-bottom:1px solid #e3e7ee;vertical-align:top}
 th{color:#667;font-weight:600;font-size:.85rem} td.n{text-align:right;font-variant-numeric:tabular-nums}
 .dot{display:inline-block;width:.75rem;height:.75rem;border-radius:50%;margin-right:.4rem}
 .green{background:#2e9e5b}.yellow{background:#d9a400}.red{background:#c93c37}
 ul{margin:.2rem 0;padding-left:1.2rem} code{background:#f2f4f8;padding:.1rem .3rem;overflow-wrap:anywhere} .muted{color:#667}
 .bad{color:#b02a25;font-weight:600} #notes li{background:#fff6df;border-left:4px solid #d9a400;list-style:none;margin:.3rem 0 .3rem -1.2rem;padding:.3rem .7rem}
 #error:not(:empty){background:#fdeceb;border-left:4px solid #c93c37;padding:.3rem .7rem} td{overflow-wrap:anywhere} .t{white-space:nowrap}
</style></head><body>
<h1>Millrace <span id="project" class="muted"></span></h1>
<p id="error" role="alert"></p>
<table id="models"><thead><tr><th>model</th><th>answers now</th><th>test</th><th>live</th><th>data is</th><th>requests</th><th>trains again by</th></tr></thead><tbody></tbody></table>
<div id="notes"></div>
<p class="muted">Ask it: <code id="ask"></code></p>
<h2>Under way and waiting</h2><ul id="jobs"></ul>
<h2>Versions</h2>
<table id="versions"><thead><tr><th>version</th><th>alias</th><th>verdict</th><th>metrics</th><th>made (UTC)</th></tr></thead><tbody></tbody></table>
<h2>Runs</h2>
<table id="runs"><thead><tr><th>run</th><th>state</th><th>cause</th><th>version</th><th>asked for (UTC)</th></tr></thead><tbody></tbody></table>
<script>
const el=(tag,text,cls)=>{const e=document.createElement(tag);if(text!==undefined)e.textContent=text;if(cls)e.className=cls;return e};
const row=(...cells)=>{const tr=el('tr');for(const c of cells){if(c instanceof Node){const td=el('td');td.append(c);tr.append(td)}else tr.append(el('td',c??''))}return tr};
const num=v=>v==null?'':Number(v).toPrecision(4).replace(/\.?0+$/,'');
const fill=(id,rows,none)=>{const body=document.querySelector('#'+id+' tbody');if(rows.length)return body.replaceChildren(...rows);
 const td=el('td',none,'muted');td.colSpan=9;const tr=el('tr');tr.append(td);body.replaceChildren(tr)};
const when=t=>el('span',t.slice(0,19).replace('T',' '),'t');
const bad=(text,yes)=>yes?el('span',text,'bad'):text;
const first=(metrics,best)=>Object.entries(metrics||{}).sort((a,b)=>(b[0]===best)-(a[0]===best)).slice(0,3).map(([k,x])=>k+' '+num(x)).join(' \u00b7 ');
const words={green:'answers, nothing wrong',yellow:'answers, but read the notes',red:'does not answer'};
async function get(path){const r=await fetch(path);if(!r.ok)throw new Error(path+': '+r.status);return r.json()}
async function look(){
 try{
  const s=await get('/api/v1/status');
  document.querySelector('#project').textContent=s.project+(s.ready?'':' (not ready)');document.title='Millrace '+s.project+(s.ready?'':' (not ready)');
  document.querySelector('#ask').textContent=s.models.map(m=>'curl -d @row.json '+location.origin+'/predict/'+m.name).join('   ');
  fill('models',s.models.map(m=>{const d=el('span');const dot=el('span',undefined,'dot '+m.light);dot.title=words[m.light]||m.light;dot.setAttribute('role','img');dot.setAttribute('aria-label',dot.title);d.append(dot,m.name);
   const live=m.live_value==null?'':num(m.live_value)+(m.live_low==null?'':' ['+num(m.live_low)+', '+num(m.live_high)+']');
   return row(d,m.loaded==null?bad('nothing yet',true):m.name+':'+(m.loaded||'baseline'),m.test_value==null?'':m.metric+' '+num(m.test_value),live,m.data_age&&m.data_age+' old',String(m.requests),m.next_retrain||'hand: millrace retrain')}),'no project is applied yet');
  const notes=el('ul');for(const m of s.models)for(const n of m.notes)notes.append(el('li',n));document.querySelector('#notes').replaceChildren(notes);
  const jobs=[...s.running,...s.waiting];document.querySelector('#jobs').replaceChildren(...(jobs.length?jobs:['nothing']).map(j=>el('li',j)));
  const list=(await get('/api/v1/models')).models;
  fill('versions',list.flatMap(m=>m.versions.slice(0,20).map(v=>row(v.number===0?m.name+':baseline':m.name+':'+v.number,(v.aliases||[]).join(', '),bad(v.verdict,v.verdict==='failed'),first(v.metrics,(s.models[0]||{}).metric),when(v.created)))),'none yet');
  const runs=(await get('/api/v1/runs?limit=20')).runs;
  fill('runs',runs.map(r=>row(r.id,bad(r.state,r.state==='failed'),r.failure||r.cause,r.version,when(r.created))),'none yet');
  document.querySelector('#error').textContent='';
 }catch(e){document.querySelector('#error').textContent='the server does not answer: '+e.message}
}
look();setInterval(look,2000);
</script></body></html>
)html";
}

}  // namespace millrace::app
