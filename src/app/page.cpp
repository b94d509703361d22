#include "app/page.hpp"

namespace millrace::app {

std::string_view status_page() {
  return R"html(<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Millrace</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
 body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:64rem;padding:0 1rem;color:#1c2430;background:#fff}
 h1{font-size:1.3rem;margin:0 0 1rem} h2{font-size:1rem;margin:1.6rem 0 .4rem;color:#556}
 table{border-collapse:collapse;width:100%} td,th{padding:.35rem .6rem;text-align:left;border-bottom:1px solid #e3e7ee;vertical-align:top}
 th{color:#667;font-weight:600;font-size:.85rem} td.n{text-align:right;font-variant-numeric:tabular-nums}
 .dot{display:inline-block;width:.75rem;height:.75rem;border-radius:50%;margin-right:.4rem}
 .green{background:#2e9e5b}.yellow{background:#d9a400}.red{background:#c93c37}
 ul{margin:.2rem 0;padding-left:1.2rem} code{background:#f2f4f8;padding:0 .25rem} .muted{color:#778}
</style></head><body>
<h1>Millrace <span id="project" class="muted"></span></h1>
<table id="models"><thead><tr><th>model</th><th>version</th><th>test</th><th>live</th><th>data</th><th>requests</th><th>next retrain</th></tr></thead><tbody></tbody></table>
<div id="notes"></div>
<h2>Under way and waiting</h2><ul id="jobs"></ul>
<h2>Versions</h2>
<table id="versions"><thead><tr><th>version</th><th>alias</th><th>verdict</th><th>metrics</th><th>made</th></tr></thead><tbody></tbody></table>
<h2>Runs</h2>
<table id="runs"><thead><tr><th>run</th><th>state</th><th>cause</th><th>version</th><th>started</th></tr></thead><tbody></tbody></table>
<p class="muted" id="error"></p>
<script>
const el=(tag,text,cls)=>{const e=document.createElement(tag);if(text!==undefined)e.textContent=text;if(cls)e.className=cls;return e};
const row=(...cells)=>{const tr=el('tr');for(const c of cells){if(c instanceof Node){const td=el('td');td.append(c);tr.append(td)}else tr.append(el('td',c??''))}return tr};
const num=v=>v==null?'':Number(v).toPrecision(4).replace(/\.?0+$/,'');
const fill=(id,rows)=>document.querySelector('#'+id+' tbody').replaceChildren(...rows);
async function get(path){const r=await fetch(path);if(!r.ok)throw new Error(path+': '+r.status);return r.json()}
async function look(){
 try{
  const s=await get('/api/v1/status');
  document.querySelector('#project').textContent=s.project+(s.ready?'':' (not ready)');
  fill('models',s.models.map(m=>{const d=el('span');d.append(el('span',undefined,'dot '+m.light),m.name);
   const live=m.live_value==null?'':num(m.live_value)+(m.live_low==null?'':' ['+num(m.live_low)+', '+num(m.live_high)+']');
   return row(d,(m.loaded??m.current)==null?'none yet':m.name+':'+(m.loaded??m.current),m.test_value==null?'':m.metric+' '+num(m.test_value),live,m.data_age,String(m.requests),m.next_retrain)}));
  const notes=el('ul');for(const m of s.models)for(const n of m.notes)notes.append(el('li',n));document.querySelector('#notes').replaceChildren(notes);
  const jobs=[...s.running,...s.waiting];document.querySelector('#jobs').replaceChildren(...(jobs.length?jobs:['nothing']).map(j=>el('li',j)));
  const list=(await get('/api/v1/models')).models;
  fill('versions',list.flatMap(m=>m.versions.slice(0,20).map(v=>row(v.number===0?m.name+':baseline':m.name+':'+v.number,(v.aliases||[]).join(', '),v.verdict,Object.entries(v.metrics||{}).slice(0,3).map(([k,x])=>k+' '+num(x)).join('  '),v.created.slice(0,19).replace('T',' ')))));
  const runs=(await get('/api/v1/runs?limit=20')).runs;
  fill('runs',runs.map(r=>row(r.id,r.state,r.failure||r.cause,r.version,r.created.slice(0,19).replace('T',' '))));
  document.querySelector('#error').textContent='';
 }catch(e){document.querySelector('#error').textContent='the server does not answer: '+e.message}
}
look();setInterval(look,2000);
</script></body></html>
)html";
}

}  // namespace millrace::app
